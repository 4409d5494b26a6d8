"""How a stream of an agent ends, where it is the operator that ends it."""

import grpc

NEXT_REPLICA_SECONDS = 1.0  # until an agent tries the next replica, where this one is of no use to it


class RefusedError(Exception):
    """The stream ends here, with this status. `kind` is what it is counted as."""

    def __init__(self, code: grpc.StatusCode, why: str, kind: str, wait_seconds: float = 0.0) -> None:
        super().__init__(why)
        self.code, self.kind, self.wait_seconds = code, kind, wait_seconds
