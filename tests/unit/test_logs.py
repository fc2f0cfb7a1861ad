"""Lines of the log: what follows the path of a page is in none."""

import json
import logging
import sys

import pytest

from realtime.logs import JsonLines, TextLines, masked

SECRET = "q8Zt1_bC4dE6-fG8hI0jK2lM4nO6pQ8rS0"
HIDDEN = (
    "/a#{}", "/a%23{}", "/a%2523{}", "/a/#{}", "/a/{}", "/A%23{}", "/a*{}", "/a?t={}", "//a%23{}",
    "/s/id#{}", "/s/id%23{}", "/s/{}", "/S/id/%23{}", "/s/id?x={}", "/drive#pair={}", "/drive%23pair={}",
    "/drive/#pair={}", "/drive#token={}", "/console#token={}.{}.{}", "/console%23token={}.{}.{}",
    "https://track.example/a#{}", "http://127.0.0.1:8000/s/id#{}", "https://track.example/drive%23pair={}",
    "https://safelinks.example/?url=https%3A%2F%2Ftrack.example%2Fa%23{}&data=5",
)  # fmt: skip
SHOWN = (
    "/api/v1/sos", "/api/v1/alerts/0b5b7d1e", "/answers/view", "/socket.io/?sid=w1.abc", "/pages/assets/a.js",
    "/home/a/project/x.py", "/srv/s/y.py", "alerts/a", "GET /a", "and/or", "1 m/s on average", "/aa/b",
    "/sos/x", 'File "/work/drive/main.py"', "/drive.py", "w1/s2",
)  # fmt: skip


@pytest.mark.parametrize("link", HIDDEN)
@pytest.mark.parametrize(
    "around", ["{}", "GET {} HTTP/1.1", "'{}'", "path={}", "<Request GET {} >", '"{}": 1']
)
def test_what_follows_the_path_of_a_page_is_masked(link: str, around: str) -> None:
    line = around.format(link.replace("{}", SECRET))
    assert SECRET not in masked(line)
    assert SECRET[:9] not in masked(line)


@pytest.mark.parametrize("text", SHOWN)
def test_other_text_is_left_as_it_is(text: str) -> None:
    assert masked(text) == text


@pytest.mark.parametrize("formatter", [JsonLines(), TextLines("%(levelname).1s %(name)s: %(message)s")])
def test_message_and_traceback_are_masked(formatter: logging.Formatter) -> None:
    try:
        raise ValueError(f"Invalid URL: /s/id%23{SECRET}")
    except ValueError:
        error = sys.exc_info()
    record = logging.LogRecord("x", logging.ERROR, "f.py", 1, "no route for %s", (f"/a%23{SECRET}",), error)
    line = formatter.format(record)
    assert SECRET not in line
    assert "no route for /a…" in line
    assert "Invalid URL: /s…" in line
    if isinstance(formatter, JsonLines):
        assert json.loads(line)["logger"] == "x"
