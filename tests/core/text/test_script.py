"""Long scripts cut into segments."""
# ruff: noqa: RUF001 - Chinese signs look like others.

import pytest

from uniavgen_core.text.script import plan_script


def at_most(characters):
    return lambda text: len(text) <= characters


def without_spaces(text):
    return "".join(text.split())


def test_each_line_is_a_segment_and_blank_lines_are_none():
    assert plan_script("\n one \n\n  \ntwo. three.\n", at_most(20)) == ("one", "two. three.")


@pytest.mark.parametrize("script", ["", " \n\t\n"])
def test_an_empty_script_is_refused(script):
    with pytest.raises(ValueError, match="script is empty"):
        plan_script(script, at_most(10))


def test_a_long_text_is_cut_at_the_ends_of_sentences():
    text = "Mr. Smith has 3.5 cats. They purr! Do you? Yes."
    assert plan_script(text, at_most(25)) == ("Mr. Smith has 3.5 cats.", "They purr! Do you? Yes.")


def test_a_long_sentence_is_cut_at_commas_and_a_long_clause_between_words():
    text = "They live, it seems, in a small house at the end of 1,000 roads. Good."
    assert plan_script(text, at_most(24)) == (
        "They live, it seems,",
        "in a small house at the",
        "end of 1,000 roads.",
        "Good.",
    )


def test_chinese_is_cut_at_its_own_signs_and_then_between_characters():
    assert plan_script("你好。今天好，我们走吧！“真的吗？”", at_most(7)) == (
        "你好。",
        "今天好，",
        "我们走吧！",
        "“真的吗？”",
    )
    assert plan_script("我们今天去公园玩吧，好", at_most(5)) == ("我们今天去", "公园玩吧，", "好")
    assert plan_script("他说“好啊”吧", at_most(3)) == ("他说", "“好", "啊”吧")


def test_segments_are_as_few_as_possible_and_even():
    assert plan_script("aa bb cc dd ee ff gg", at_most(17)) == ("aa bb cc dd", "ee ff gg")


@pytest.mark.parametrize("characters", range(5, 60, 3))
def test_nothing_said_is_lost_and_everything_fits(characters):
    script = "Well, it's 5 a.m. now; so, let us go. 你好，世界。今天天气很好我们去公园吧 yes\nAnd then - well - stop!"
    parts = plan_script(script, at_most(characters))
    assert without_spaces("".join(parts)) == without_spaces(script)
    assert all(part == part.strip() and 0 < len(part) <= characters for part in parts)


def test_what_fits_is_the_callers_to_say():
    seen = plan_script("one two three four", lambda text: len(text.split()) <= 2)
    assert seen == ("one two", "three four")
    assert plan_script("incredibly a b c", lambda text: len(text.split()) <= 2) == ("incredibly a", "b c")


def test_a_word_longer_than_a_segment_is_named():
    with pytest.raises(ValueError, match="'incomprehensible' of the script is too long for one segment"):
        plan_script("That is incomprehensible to me.", at_most(10))
    with pytest.raises(ValueError, match=rf"'{'a' * 40}\.\.\.' of"):
        plan_script("a" * 99, at_most(10))
