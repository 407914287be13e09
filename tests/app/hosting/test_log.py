"""The log of a shared server stays short, whatever is sent to it."""

import io
import logging

from app.hosting.log import MOST_TRACEBACK, MOST_WORDS, Brief


def fail(words, depth=0):
    return fail(words, depth - 1) if depth else {}[words]


def written(*calls):
    """What a handler writes when loggers make records as a shared server does."""
    out, make = io.StringIO(), Brief(logging.LogRecord)
    handler = logging.StreamHandler(out)
    for call in calls:
        try:
            record = call(make)
        except KeyError as error:
            record = make("x", logging.ERROR, __file__, 1, "a job %s failed", ("seven",), (KeyError, error, None))
        handler.handle(record)
    return out.getvalue()


def test_s9_an_error_that_comes_a_thousand_times_is_written_once_and_counted():
    text = written(*[lambda make: fail("missing", 100)] * 1_000)
    assert text.count("Traceback") == 1
    assert "a job seven failed: KeyError: 'missing' (1000 times)" in text
    assert len(text) < MOST_TRACEBACK + 1_000 * 100


def test_s9_long_words_and_line_breaks_of_a_visitor_stay_one_short_line():
    text = written(
        lambda make: make("x", logging.WARNING, __file__, 1, "bad %s", ("a\r\nINFO all is well\x1b[2J" * 10_000,), None)
    )
    assert len(text.splitlines()) == 1
    assert len(text) < MOST_WORDS + 20
    assert "\x1b" not in text


def test_the_words_of_an_error_begin_no_record_and_steer_no_terminal():
    text = written(
        lambda make: fail("one\nINFO all is well\x1b[2J"), lambda make: raised("two\nINFO all is well\x1b[2J\u2028INFO")
    )
    assert text.count("Traceback") == 2
    assert not [line for line in text.splitlines() if line.startswith("INFO")]
    assert "\x1b" not in text


def raised(words):
    class Verbatim(KeyError):
        def __str__(self):
            return words

    raise Verbatim


def test_arguments_that_do_not_fit_break_nothing():
    assert "100 %s %d" in written(lambda make: make("x", logging.WARNING, __file__, 1, "100 %s %d", ("one",), None))
