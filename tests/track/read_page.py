"""read_page.py PAGE: print the tables of an HTML page, a row a line, cells separated by " | ".

Also checks what must hold for the page as a whole: every element is closed in order, nothing is
loaded from elsewhere, and there is no script.
"""
import re
import sys
from html.parser import HTMLParser

VOID = {"meta", "br", "wbr"}


class Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.row, self.cell = [], None, None

    def handle_starttag(self, tag, attributes):
        assert tag not in ("script", "img", "link", "iframe", "b", "object"), f"<{tag}>"
        for name, value in attributes:
            assert not name.startswith("on"), f"{name} on <{tag}>"
            assert name not in ("href", "src") or value.startswith("#run-"), f"{name}={value}"
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.row = []
        if tag in ("td", "th"):
            self.cell = ""
        if tag in ("small", "br") and self.cell is not None:
            self.cell += " "

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> closes <{self.open[-1:]}>"
        self.open.pop()
        if tag in ("td", "th"):
            self.row.append(" ".join(self.cell.split()))
            self.cell = None
        if tag == "tr":
            print(" | ".join(self.row))

    def handle_data(self, data):
        if self.cell is not None:
            self.cell += data


with open(sys.argv[1], encoding="utf-8") as file:
    text = file.read()
assert not re.search(r"url\(|@import|https?:", text), "something is loaded from elsewhere"
assert not re.search("[\x00-\x08\x0b-\x1f]", text), "control characters"
page = Page()
page.feed(text)
page.close()
assert not page.open, f"not closed: {page.open}"
