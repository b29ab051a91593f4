"""Worlds of toons: the words that are said, and whether chance decides what no condition tells.

In the steady world a clip follows from its conditions in all but the blinks, so that a single step of a sampler is the
right answer. In the lively world the seed also decides onset, tempo, pitch contour, emphasis, strength of the
expression, gaze, sways and the timing of movements.
"""

from dataclasses import dataclass

WORDS = (
    "hello", "bye", "yes", "no", "happy", "nice", "one", "two", "four", "five", "seven", "nine",
    "red", "orange", "moon", "star", "sun", "fish", "bird", "tiger", "dog", "robot", "water", "cloud",
)  # fmt: skip
MORE_WORDS = (
    "zero", "three", "six", "eight", "ten",
    "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday", "today",
    "yellow", "green", "blue", "purple", "pink", "brown", "black", "white", "grey",
    "cat", "horse", "rabbit", "lion", "bear", "duck", "tree", "flower", "garden", "river", "mountain", "island",
    "snow", "rain", "wind", "summer", "winter", "house", "window", "kitchen", "table", "car", "train", "boat", "ball",
    "apple", "banana", "bread", "cheese", "milk", "coffee", "music", "dance", "school", "doctor", "king", "baby",
    "friend", "family", "mother", "father", "sister", "brother", "big", "small", "cold", "warm", "fast", "slow",
    "old", "new", "funny", "maybe",
)  # fmt: skip
PHRASES = (
    "good morning", "good night", "how are you", "thank you", "thank you very much", "nice to meet you",
    "see you later", "see you tomorrow", "what is your name", "where are you", "i am happy", "you are welcome",
    "excuse me", "i am sorry", "have a nice day", "happy birthday", "come here please", "i love you",
    "what time is it", "well done",
)  # fmt: skip


@dataclass(frozen=True)
class World:
    """Vocabulary of toons, and whether chance plays a part.

    Attributes:
        words: Words of random sentences.
        phrases: Phrases that stand among them, each as a whole.
        lively: Whether chance decides what conditions leave open.
        chance: Seed of another scene under the same conditions, in which chance decides otherwise; 0 for the first.
    """

    words: tuple[str, ...] = WORDS
    phrases: tuple[str, ...] = ()
    lively: bool = False
    chance: int = 0

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """All words that are said, each once."""
        return tuple(dict.fromkeys((*self.words, *" ".join(self.phrases).split())))


STEADY = World()
LIVELY = World((*WORDS, *MORE_WORDS), PHRASES, lively=True)
