"""Transcripts made sayable: numbers and abbreviations spelled out, unknown characters replaced, all of it reported."""
# ruff: noqa: RUF001 - signs that look alike are what this is about.

import subprocess
import sys
from pathlib import Path

import pytest

from uniavgen_core.text import spelling
from uniavgen_core.text import transcript as prepare
from uniavgen_core.text.sentences import split_sentences
from uniavgen_core.text.tokenize import unknown_characters, vocabulary
from uniavgen_core.text.transcript import PreparedText, prepare_transcript, replace_unknown

ROOT = Path(__file__).parents[3]


@pytest.fixture
def no_wetext(monkeypatch):
    """Make wetext impossible to import, and forget that it was imported before."""
    spelling.wetext_normalizer.cache_clear()
    monkeypatch.setitem(sys.modules, "wetext", None)
    yield
    spelling.wetext_normalizer.cache_clear()


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("I have 3 cats.", "I have three cats."),
        ("Meet me at 10:30 a.m. on Jan. 5, 2024.",
         "Meet me at ten thirty AM on the fifth of January, twenty twenty four."),
        ("We close at 7 p.m. Then we go.", "We close at seven PM. Then we go."),
        ("It is 25°C and 5 km away.", "It is twenty five degrees Celsius and five kilometers away."),
        ("He won the 1st prize, 50% more.", "He won the first prize, fifty percent more."),
        ("It costs $5.20, not £1.01 or $1,000.",
         "It costs five dollars and twenty cents, not one pound and one pence or one thousand dollars."),
        ("1,234,567 people", "one million two hundred thirty four thousand five hundred and sixty seven people"),
        ("5€ for 100 m", "five euros for one hundred meters"),
        ("the 1990s and the year 2000", "the nineteen nineties and the year two thousand"),
        ("5-6 days, 24/7, 3/4 done", "five to six days, twenty four seven, three quarters done"),
        ("1990-1995 or 3–4", "nineteen ninety to nineteen ninety five or three to four"),
        ("1000 people paid $5.00 and $2.01", "one thousand people paid five dollars and two dollars and one cent"),
        ("the U.S. @ 3 = x", "the U.S. @ three = x"),
        ('[Jan 5] "he" [6]', '[the fifth of January] "he" [six]'),
        ("Call 555-1234.", "Call five five five, one two three four."),
        ("#1 is 1½ cups", "number one is one and a half cups"),
        ('He said "3 (or 4)!"', 'He said "three (or four)!"'),
        ("Dr. Smith vs. Mrs. Brown, etc.", "Doctor Smith versus Missus Brown, et cetera."),
        ("No. 5 in St. Louis & beyond", "number five in Saint Louis and beyond"),
        ("No. I live in Main St.", "No. I live in Main St."),
    ],
)  # fmt: skip
def test_english_is_spelled_as_it_is_said(written, said):
    assert prepare_transcript(written).text == said


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("它有3个", "它有三个"),
        ("今天是2024年5月1日，10:30开会", "今天是二零二四年五月一日，十点三十分开会"),
        ("价格是¥12.5元，涨了50%", "价格是十二点五元，涨了百分之五十"),
        ("第2名在下午2点到", "第二名在下午两点到"),
        ("温度25℃，重5kg", "温度二十五摄氏度，重五千克"),
        ("等3-4岁，3-4", "等三到四岁，三到四"),
        ("我有3 cats", "我有三 cats"),
        ('他说"3个"', '他说"三个"'),
    ],
)
def test_chinese_is_spelled_as_it_is_said(written, said):
    assert prepare_transcript(written).text == said


def test_each_sentence_of_a_mixed_text_is_read_in_its_own_language():
    assert prepare_transcript("它有3个。I have 3 cats.").text == "它有三个。I have three cats."


def test_a_sentence_without_letters_is_read_in_the_language_of_the_text():
    assert prepare_transcript("好！5！").text == "好！五！"
    assert prepare_transcript("Good! 5!").text == "Good! five!"


def test_only_what_is_spelled_changes():
    text = 'Oh,  "well" \\ [NASA] at\tthe U.S. — = % don\'t…\n\n  '
    assert prepare_transcript(f"{text}5 {text}").text == f"{text}five {text}"


def test_lines_stay_lines():
    assert prepare_transcript("line 1\n\nline 2\n").text == "line one\n\nline two\n"


def test_every_spelling_is_reported():
    assert prepare_transcript("Mr. X has 3 cats, 5 kg each, etc.").notices == (
        "Mr. became Mister.",
        "etc. became et cetera.",
        "3 became three.",
        "5 kg became five kilograms.",
    )


def test_plain_text_comes_back_without_a_notice():
    for text in ("Hello there, I don't know.", "你好，世界。", "Café — no; yes…", ""):
        assert prepare_transcript(text) == PreparedText(text)


def test_switched_off_leaves_digits_and_abbreviations():
    for text in ("Mr. X has 3 cats & 5 kg.", "它有3个"):
        assert prepare_transcript(text, spell_out=False) == PreparedText(text)


def test_digits_that_cannot_be_read_stay_and_are_named(monkeypatch):
    class Helpless:
        def normalize(self, _):
            raise AssertionError

        normalize_with_mapping = normalize

    monkeypatch.setattr(spelling, "wetext_normalizer", lambda _: Helpless())
    assert prepare_transcript("a 3 b 44.") == PreparedText(
        "a 3 b 44.",
        ("3 could not be spelled out and stays as it is.", "44 could not be spelled out and stays as it is."),
    )


def test_what_the_library_says_is_made_readable_too(monkeypatch):
    monkeypatch.setattr(prepare, "spell_numbers", lambda text: (f"“{text}", ("spelled.",)))
    assert prepare_transcript("hi") == PreparedText('"hi', ("spelled.", '“ became ".'))


@pytest.mark.usefixtures("no_wetext")
@pytest.mark.parametrize("text", ["I have 3 cats", "它有3个"])
def test_numbers_without_wetext_name_it(text):
    with pytest.raises(ImportError, match=r"pip install -U wetext.*as words"):
        prepare_transcript(text)


@pytest.mark.usefixtures("no_wetext")
def test_text_without_digits_needs_no_wetext():
    assert prepare_transcript("Mr. X’s cats, etc.").text == "Mister X's cats, et cetera."
    assert prepare_transcript("I have 3 cats", spell_out=False).text == "I have 3 cats"


def test_plain_text_imports_no_library():
    code = (
        "import sys; from uniavgen_core.text.transcript import prepare_transcript; "
        "prepare_transcript('Dr. X says “hello”, café.'); "
        "print([name for name in ('wetext', 'kaldifst', 'jieba', 'pypinyin') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("written", "near"),
    [
        ("it’s “so”", 'it\'s "so"'),
        ("e\u0301te\u0301", "été"),
        ("ẅ ﬁne ŒUVRE", "w fine œUVRE"),
        ("ＡＢ３", "AB3"),
        ("ǅ þ", "Dž Þ"),
        ("٣ ㎏ ①", "3 kg 1"),
        ("a\u200bb\u0324", "ab"),
        ("wait‥ then‐now", "wait.. then-now"),
        ("hello ☃ moon 😀", "hello moon"),
    ],
)
def test_unknown_characters_become_the_nearest_known(written, near):
    text, notices = replace_unknown(written)
    assert text == near
    assert not unknown_characters(text)
    assert bool(notices) == (written != "e\u0301te\u0301"), "composing is no change"


def test_every_replacement_is_reported_once():
    text, notices = replace_unknown("“Hi” “you” ☃\u200b☃")
    assert text == '"Hi" "you"'
    assert notices == (
        '“ became ".',
        '” became ".',
        "The model knows nothing near ☃; a space replaces it.",
        "The invisible character 'zero width space' was removed.",
    )


def test_a_lost_character_between_words_leaves_one_space_and_keeps_lines():
    assert replace_unknown("a☃b ☃ c\n☃ d")[0] == "a b c\n d"


def test_known_text_is_never_touched():
    known = "".join(entry for entry in vocabulary() if len(entry) == 1 and entry.isascii())
    assert replace_unknown(known) == (known, ())
    assert replace_unknown("他说，“你好！”") == ("他说，“你好！”", ())


def test_whatever_is_written_only_known_characters_come_out():
    everything = "".join(map(chr, [*range(0x21, 0x3000, 5), *range(0xA000, 0xA500, 7), *range(0xF900, 0xFFE0, 9)]))
    everything = everything.encode("utf-8", "ignore").decode()
    prepared = prepare_transcript(everything)
    assert not unknown_characters(prepared.text)
    assert len(prepared.notices) > 100


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("Mr. X has 3.5 cats. He left! Why?", ["Mr. X has 3.5 cats. ", "He left! ", "Why?"]),
        ("We met at 5 p.m. sharp, e.g. Dr. J. Smith.", ["We met at 5 p.m. sharp, e.g. Dr. J. Smith."]),
        ("On Jan. 5 I came. No. 5 is I. Then go.", ["On Jan. 5 I came. ", "No. 5 is I. ", "Then go."]),
        ("“Stop!” he said. Apples, etc. Then pears.", ["“Stop!” he said. ", "Apples, etc. ", "Then pears."]),
        ("Well... maybe. See www.x.com now.", ["Well... maybe. ", "See www.x.com now."]),
        ("你好。你是谁？“好！”他说", ["你好。", "你是谁？", "“好！”", "他说"]),
        ("Hello!你好.他有3.5个", ["Hello!", "你好.", "他有3.5个"]),
        ("见3.他", ["见3.他"]),
        ("one\ntwo", ["one\n", "two"]),
    ],
)
def test_sentences_end_where_a_reader_stops(text, sentences):
    assert split_sentences(text) == sentences
