"""The operator's logs go to standard error, each once."""

import json
import logging
import sys

from plimsoll_operator.serve.logs import configure_logs


def test_configuring_sends_everything_to_standard_error_once(capsys, monkeypatch):
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", list(root.handlers))
    monkeypatch.setattr(root, "level", root.level)
    configure_logs("warning")
    configure_logs("warning")
    root.handlers[0].setStream(sys.stderr)
    logging.getLogger("x").warning("once")
    logging.getLogger("x").info("never")
    lines = capsys.readouterr().err.splitlines()
    assert [json.loads(line)["message"] for line in lines] == ["once"]
