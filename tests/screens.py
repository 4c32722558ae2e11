"""Pictures of the server's page in its states, for eyes: `python tests/screens.py FOLDER [STATE ...]`.

The stand-in of the tests answers from the embedded sample, so that no model is needed.
"""

import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

from browser import Browser
from standin import StandIn, sample

DESK, PHONE = (1280, 800), (390, 844)
BY_COUNTRY = "How many artworks are there from each country?"
ANSWERS = {
    BY_COUNTRY: "SELECT T1.country, COUNT(*) AS artworks FROM artist AS T1 JOIN artwork AS T2 "
    "ON T1.artist_id = T2.artist_id GROUP BY T1.country ORDER BY artworks DESC",
    "Which artworks are older than 1900?": "SELECT title, technique, year FROM artwork WHERE year < 1900 ORDER BY year",
    "Which guide has the most visitors?": "SELECT name, guests FROM guide ORDER BY guests DESC LIMIT 1",
    "How many visitors came on each day?": "SELECT tour_date, SUM(visitors) AS visitors FROM tour "
    "GROUP BY tour_date ORDER BY tour_date",
    "Show all artworks with their artists.": "SELECT * FROM artwork JOIN artist USING (artist_id)",
}


def ask(browser: Browser, question: str, done: str = "!document.body.classList.contains('working')") -> None:
    browser.run(f"document.getElementById('question').value = {question!r}")
    browser.run("document.getElementById('send').click()")
    browser.wait(done)


def ask_list(browser: Browser) -> None:
    ask(browser, "Which artworks are older than 1900?")


def ask_count(browser: Browser) -> None:
    ask(browser, BY_COUNTRY)


def busy(browser: Browser) -> None:
    ask(browser, BY_COUNTRY, "parseFloat(document.getElementById('seconds').textContent) > 1.2")


def chart(browser: Browser) -> None:
    ask(browser, BY_COUNTRY)
    browser.run("document.getElementById('as-chart').click()")


def line(browser: Browser) -> None:
    ask(browser, "How many visitors came on each day?")
    browser.run("document.getElementById('as-chart').click()")


def wide(browser: Browser) -> None:
    ask(browser, "Show all artworks with their artists.")


def failed(browser: Browser) -> None:
    ask(browser, "Which guide has the most visitors?")


def history(browser: Browser) -> None:
    for question in ANSWERS:
        ask(browser, question)
    browser.run("document.getElementById('tab-history').click()")


def listed(browser: Browser) -> None:
    browser.run("document.getElementById('tab-list').click()")


def follow(browser: Browser) -> None:
    ask(browser, BY_COUNTRY)
    browser.run("document.getElementById('follow').click()")
    browser.run("document.getElementById('question').value = 'Only those before 1900.'")
    browser.run("document.getElementById('format').click(); document.getElementById('good').click()")
    browser.wait("document.getElementById('kept').textContent")


def key(browser: Browser) -> None:
    browser.wait("document.getElementById('key-dialog').open")


def nothing(browser: Browser) -> None:
    browser.run("document.activeElement.blur()")


STATES: dict[str, Callable[[Browser], None]] = {
    "empty": nothing,
    "busy": busy,
    "rows": ask_list,
    "count": ask_count,
    "chart": chart,
    "line": line,
    "wide": wide,
    "error": failed,
    "history": history,
    "tables": listed,
    "follow": follow,
    "key": key,
}


def take(folder: Path, names: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        paths = {name: sample(Path(place), name) for name in ("museum", "flights", "shop")}
        browser = Browser(Path(place) / "profile")
        stand = StandIn(paths, ANSWERS)
        browser.call("Emulation.setScrollbarsHidden", hidden=True)
        for name in names:
            kind, _, how = name.partition("-")
            phone, dark = "phone" in how, "dark" in how
            stand.wait = threading.Event() if kind == "busy" else None
            stand.key = "secret" if kind == "key" else None
            width, height = PHONE if phone else DESK
            browser.open(stand.url, width=width, height=height, dark=dark)
            browser.run("localStorage.clear(); sessionStorage.clear()")
            browser.open(stand.url, width=width, height=height, dark=dark)
            if kind != "key":
                browser.wait("document.getElementById('database').value")
            STATES[kind](browser)
            browser.run("new Promise((done) => setTimeout(done, 300))")
            browser.screenshot(folder / f"{name}.png", whole=phone)
            if stand.wait is not None:
                stand.wait.set()
        for complaint in browser.complaints:
            sys.stderr.write(f"{complaint[:400]}\n")
        browser.close()
        stand.close()


if __name__ == "__main__":
    every = [*STATES, "rows-dark", "chart-dark", "error-dark", "rows-phone", "empty-phone", "chart-phone-dark"]
    take(Path(sys.argv[1]), sys.argv[2:] or every)
