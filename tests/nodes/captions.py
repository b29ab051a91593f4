"""Captions that are hard to read, and what the release's tokenizer is given of them."""
# ruff: noqa: RUF001 - what looks like other letters is meant

LONG = "A woman talks (loudly) to the camera. " * 100
CAPTIONS = {
    "A woman is smiling.": "A woman is smiling.",
    "": "",
    "  \n\t ": "",
    "  A  woman \n\n is\ttalking. ": "A woman is talking.",
    "A woman\r\nis talking": "A woman is talking",
    "A\u00a0woman\u2003is\u200atalking": "A woman is talking",
    "“She’s here,” he says": '"She\'s here," he says',
    "the man‘s ‚hands‛": "the man's 'hands'",
    "She sings naïve Café songs": "She sings naïve Café songs",
    "a cafÃ© in a rÃ©sumÃ©": "a café in a résumé",
    "donâ€™t move": "don't move",
    "Tom &amp; Ann": "Tom & Ann",
    "Tom &amp;amp; Ann": "Tom & Ann",
    "a &lt;b&gt; &quot;c&quot; &#39;d&#39;": "a <b> \"c\" 'd'",
    "100&nbsp;%": "100 %",
    "caf&eacute; &amp;eacute;": "café é",
    "she says &rsquo;hi&rsquo;": "she says 'hi'",
    "<b>bold &amp;lt;i&amp;gt;": "<b>bold <i>",
    "(smiling)": "(smiling)",
    "a ((very)) (happy:1.3) [man] {in red|blue}": "a ((very)) (happy:1.3) [man] {in red|blue}",
    "an open ( and \\(escaped\\) one)": "an open ( and \\(escaped\\) one)",
    "a photo of embedding:happy and more": "a photo of embedding:happy and more",
    "embedding:happy": "embedding:happy",
    "Ｗｏｍａｎ　ｔａｌｋｓ，ｌｏｕｄｌｙ！": "Woman talks,loudly!",
    "oﬃce ﬂowers": "office flowers",
    "Cafe\u0301": "Café",
    "一位女士（微笑）说：你好。": "一位女士(微笑)说:你好。",
    "bell\x07 and \x1b[31mred\x1b[0m": "bell and red",
    LONG: LONG.strip(),
}
"""Captions, and what of them the release's tokenizer is given, by hand from its rules."""
NEEDS_FTFY = (
    "“She’s here,” he says",
    "a cafÃ© in a rÃ©sumÃ©",
    "Ｗｏｍａｎ　ｔａｌｋｓ，ｌｏｕｄｌｙ！",
    "bell\x07 and \x1b[31mred\x1b[0m",
)
"""Some that come out otherwise where ftfy is not installed."""
FOR_THE_BUNDLED = "A &lt;happy&gt; ｔｏｏｎ, cafÃ© (nods)"
