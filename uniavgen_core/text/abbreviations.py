"""English abbreviations in full, parted by whether a sentence can end with one."""

TITLES = {
    "Mr.": "Mister", "Mrs.": "Missus", "Ms.": "Miz", "Dr.": "Doctor", "Prof.": "Professor", "Rev.": "Reverend",
    "Gen.": "General", "Capt.": "Captain", "Lt.": "Lieutenant", "Sgt.": "Sergeant", "Sen.": "Senator",
    "Gov.": "Governor", "Pres.": "President", "Mt.": "Mount", "St.": "Saint", "e.g.": "for example",
    "E.g.": "For example", "i.e.": "that is", "I.e.": "That is", "vs.": "versus", "approx.": "approximately",
    "cf.": "compare", "Fig.": "Figure",
}  # fmt: skip
"""Abbreviations before the word they belong to: no sentence ends with one."""

ENDINGS = {
    "etc.": "et cetera", "Jr.": "Junior", "Sr.": "Senior", "Inc.": "Incorporated", "Ltd.": "Limited",
    "Co.": "Company", "Corp.": "Corporation", "Dept.": "Department", "Ave.": "Avenue", "Blvd.": "Boulevard",
    "Rd.": "Road", "Jan.": "January", "Feb.": "February", "Aug.": "August", "Sept.": "September", "Sep.": "September",
    "Oct.": "October", "Nov.": "November", "Dec.": "December",
}  # fmt: skip
"""Abbreviations that may end a sentence: a capital letter after one begins the next."""
