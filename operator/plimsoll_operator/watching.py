"""Why a watch failed: kopf ends with its exception, which names neither the kind nor what was asked.

In: kopf's log. Out: one sentence, or "". A watch fails for good where the API server refuses it (no right, a
selector that it does not take) or errs for longer than kopf retries; the whole process then ends, for an
index that stands still would be yesterday's cluster.
"""

import logging

_ORCHESTRATOR = "kopf._core.reactor.orchestration"
_PREFIX, _FAILED = "watcher for ", " has failed"
WORDS_MAX = 500


class LastWords(logging.Handler):
    """Keeps what kopf says when a watch fails; it says it only to its log."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.sentence = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the first failed watch and its exception, in one line."""
        text = record.getMessage()
        if self.sentence or not text.lower().startswith(_PREFIX) or not record.exc_info:
            return
        name = text[len(_PREFIX) :].partition(_FAILED)[0].partition("@")[0]
        self.sentence = f"the watch of {name} failed for good: {words(record.exc_info[1])}"

    def listen(self) -> None:
        """Listen from now on."""
        logging.getLogger(_ORCHESTRATOR).addHandler(self)


def words(error: BaseException | None) -> str:
    """An exception in one line of bearable length."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:WORDS_MAX]
