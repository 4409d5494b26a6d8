from plimsoll_proto.v1 import agent_pb2 as _agent_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AttendResponse(_message.Message):
    __slots__ = ("sequence_number", "follows_sequence_number", "acknowledged_sequence_number", "welcome", "policy_snapshot", "shrink_request", "shrink_cancel", "lease_answer", "model_version", "placement_moves", "drain")
    SEQUENCE_NUMBER_FIELD_NUMBER: _ClassVar[int]
    FOLLOWS_SEQUENCE_NUMBER_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGED_SEQUENCE_NUMBER_FIELD_NUMBER: _ClassVar[int]
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    POLICY_SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    SHRINK_REQUEST_FIELD_NUMBER: _ClassVar[int]
    SHRINK_CANCEL_FIELD_NUMBER: _ClassVar[int]
    LEASE_ANSWER_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    PLACEMENT_MOVES_FIELD_NUMBER: _ClassVar[int]
    DRAIN_FIELD_NUMBER: _ClassVar[int]
    sequence_number: int
    follows_sequence_number: int
    acknowledged_sequence_number: int
    welcome: Welcome
    policy_snapshot: PolicySnapshot
    shrink_request: ShrinkRequest
    shrink_cancel: ShrinkCancel
    lease_answer: LeaseAnswer
    model_version: ModelVersion
    placement_moves: PlacementMoves
    drain: Drain
    def __init__(self, sequence_number: _Optional[int] = ..., follows_sequence_number: _Optional[int] = ..., acknowledged_sequence_number: _Optional[int] = ..., welcome: _Optional[_Union[Welcome, _Mapping]] = ..., policy_snapshot: _Optional[_Union[PolicySnapshot, _Mapping]] = ..., shrink_request: _Optional[_Union[ShrinkRequest, _Mapping]] = ..., shrink_cancel: _Optional[_Union[ShrinkCancel, _Mapping]] = ..., lease_answer: _Optional[_Union[LeaseAnswer, _Mapping]] = ..., model_version: _Optional[_Union[ModelVersion, _Mapping]] = ..., placement_moves: _Optional[_Union[PlacementMoves, _Mapping]] = ..., drain: _Optional[_Union[Drain, _Mapping]] = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ("protocol_version", "operator_epoch_id", "received_sequence_number", "sent_unix_milliseconds", "sample_interval_milliseconds", "operator_away_after_milliseconds")
    PROTOCOL_VERSION_FIELD_NUMBER: _ClassVar[int]
    OPERATOR_EPOCH_ID_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_SEQUENCE_NUMBER_FIELD_NUMBER: _ClassVar[int]
    SENT_UNIX_MILLISECONDS_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_INTERVAL_MILLISECONDS_FIELD_NUMBER: _ClassVar[int]
    OPERATOR_AWAY_AFTER_MILLISECONDS_FIELD_NUMBER: _ClassVar[int]
    protocol_version: _agent_pb2.ProtocolVersion
    operator_epoch_id: int
    received_sequence_number: int
    sent_unix_milliseconds: int
    sample_interval_milliseconds: int
    operator_away_after_milliseconds: int
    def __init__(self, protocol_version: _Optional[_Union[_agent_pb2.ProtocolVersion, _Mapping]] = ..., operator_epoch_id: _Optional[int] = ..., received_sequence_number: _Optional[int] = ..., sent_unix_milliseconds: _Optional[int] = ..., sample_interval_milliseconds: _Optional[int] = ..., operator_away_after_milliseconds: _Optional[int] = ...) -> None: ...

class PolicySnapshot(_message.Message):
    __slots__ = ("policy_version_number", "container_policies")
    POLICY_VERSION_NUMBER_FIELD_NUMBER: _ClassVar[int]
    CONTAINER_POLICIES_FIELD_NUMBER: _ClassVar[int]
    policy_version_number: int
    container_policies: _containers.RepeatedCompositeFieldContainer[ContainerPolicy]
    def __init__(self, policy_version_number: _Optional[int] = ..., container_policies: _Optional[_Iterable[_Union[ContainerPolicy, _Mapping]]] = ...) -> None: ...

class ContainerPolicy(_message.Message):
    __slots__ = ("pod_uid", "container_name", "policy_name", "reclaim_mode_name", "max_pressure_ratio", "refault_budget_ratio", "importance_name", "prefetch_allowed", "container_id", "numa_placement_name", "huge_pages_allowed", "workload_class_name", "image_class_name")
    POD_UID_FIELD_NUMBER: _ClassVar[int]
    CONTAINER_NAME_FIELD_NUMBER: _ClassVar[int]
    POLICY_NAME_FIELD_NUMBER: _ClassVar[int]
    RECLAIM_MODE_NAME_FIELD_NUMBER: _ClassVar[int]
    MAX_PRESSURE_RATIO_FIELD_NUMBER: _ClassVar[int]
    REFAULT_BUDGET_RATIO_FIELD_NUMBER: _ClassVar[int]
    IMPORTANCE_NAME_FIELD_NUMBER: _ClassVar[int]
    PREFETCH_ALLOWED_FIELD_NUMBER: _ClassVar[int]
    CONTAINER_ID_FIELD_NUMBER: _ClassVar[int]
    NUMA_PLACEMENT_NAME_FIELD_NUMBER: _ClassVar[int]
    HUGE_PAGES_ALLOWED_FIELD_NUMBER: _ClassVar[int]
    WORKLOAD_CLASS_NAME_FIELD_NUMBER: _ClassVar[int]
    IMAGE_CLASS_NAME_FIELD_NUMBER: _ClassVar[int]
    pod_uid: str
    container_name: str
    policy_name: str
    reclaim_mode_name: str
    max_pressure_ratio: float
    refault_budget_ratio: float
    importance_name: str
    prefetch_allowed: bool
    container_id: str
    numa_placement_name: str
    huge_pages_allowed: bool
    workload_class_name: str
    image_class_name: str
    def __init__(self, pod_uid: _Optional[str] = ..., container_name: _Optional[str] = ..., policy_name: _Optional[str] = ..., reclaim_mode_name: _Optional[str] = ..., max_pressure_ratio: _Optional[float] = ..., refault_budget_ratio: _Optional[float] = ..., importance_name: _Optional[str] = ..., prefetch_allowed: _Optional[bool] = ..., container_id: _Optional[str] = ..., numa_placement_name: _Optional[str] = ..., huge_pages_allowed: _Optional[bool] = ..., workload_class_name: _Optional[str] = ..., image_class_name: _Optional[str] = ...) -> None: ...

class ShrinkRequest(_message.Message):
    __slots__ = ("shrink_id", "pod_uid", "container_name", "limit_bytes", "target_bytes", "deadline_milliseconds", "resize_written", "container_id")
    SHRINK_ID_FIELD_NUMBER: _ClassVar[int]
    POD_UID_FIELD_NUMBER: _ClassVar[int]
    CONTAINER_NAME_FIELD_NUMBER: _ClassVar[int]
    LIMIT_BYTES_FIELD_NUMBER: _ClassVar[int]
    TARGET_BYTES_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_MILLISECONDS_FIELD_NUMBER: _ClassVar[int]
    RESIZE_WRITTEN_FIELD_NUMBER: _ClassVar[int]
    CONTAINER_ID_FIELD_NUMBER: _ClassVar[int]
    shrink_id: int
    pod_uid: str
    container_name: str
    limit_bytes: int
    target_bytes: int
    deadline_milliseconds: int
    resize_written: bool
    container_id: str
    def __init__(self, shrink_id: _Optional[int] = ..., pod_uid: _Optional[str] = ..., container_name: _Optional[str] = ..., limit_bytes: _Optional[int] = ..., target_bytes: _Optional[int] = ..., deadline_milliseconds: _Optional[int] = ..., resize_written: _Optional[bool] = ..., container_id: _Optional[str] = ...) -> None: ...

class ShrinkCancel(_message.Message):
    __slots__ = ("shrink_id", "cancel_reason")
    SHRINK_ID_FIELD_NUMBER: _ClassVar[int]
    CANCEL_REASON_FIELD_NUMBER: _ClassVar[int]
    shrink_id: int
    cancel_reason: str
    def __init__(self, shrink_id: _Optional[int] = ..., cancel_reason: _Optional[str] = ...) -> None: ...

class LeaseAnswer(_message.Message):
    __slots__ = ("lease_id", "limit_bytes", "lasts_milliseconds", "refusal_reason")
    LEASE_ID_FIELD_NUMBER: _ClassVar[int]
    LIMIT_BYTES_FIELD_NUMBER: _ClassVar[int]
    LASTS_MILLISECONDS_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_REASON_FIELD_NUMBER: _ClassVar[int]
    lease_id: int
    limit_bytes: int
    lasts_milliseconds: int
    refusal_reason: str
    def __init__(self, lease_id: _Optional[int] = ..., limit_bytes: _Optional[int] = ..., lasts_milliseconds: _Optional[int] = ..., refusal_reason: _Optional[str] = ...) -> None: ...

class ModelVersion(_message.Message):
    __slots__ = ("model_kind_name", "class_name", "model_version_number", "schema_version_number", "model_checksum", "payload_content")
    MODEL_KIND_NAME_FIELD_NUMBER: _ClassVar[int]
    CLASS_NAME_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_NUMBER_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_VERSION_NUMBER_FIELD_NUMBER: _ClassVar[int]
    MODEL_CHECKSUM_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_CONTENT_FIELD_NUMBER: _ClassVar[int]
    model_kind_name: str
    class_name: str
    model_version_number: int
    schema_version_number: int
    model_checksum: str
    payload_content: bytes
    def __init__(self, model_kind_name: _Optional[str] = ..., class_name: _Optional[str] = ..., model_version_number: _Optional[int] = ..., schema_version_number: _Optional[int] = ..., model_checksum: _Optional[str] = ..., payload_content: _Optional[bytes] = ...) -> None: ...

class PlacementMoves(_message.Message):
    __slots__ = ("placement_version_number", "moves")
    PLACEMENT_VERSION_NUMBER_FIELD_NUMBER: _ClassVar[int]
    MOVES_FIELD_NUMBER: _ClassVar[int]
    placement_version_number: int
    moves: _containers.RepeatedCompositeFieldContainer[PlacementMove]
    def __init__(self, placement_version_number: _Optional[int] = ..., moves: _Optional[_Iterable[_Union[PlacementMove, _Mapping]]] = ...) -> None: ...

class PlacementMove(_message.Message):
    __slots__ = ("pod_uid", "container_name", "from_numa_node_index", "to_numa_node_index", "most_bytes")
    POD_UID_FIELD_NUMBER: _ClassVar[int]
    CONTAINER_NAME_FIELD_NUMBER: _ClassVar[int]
    FROM_NUMA_NODE_INDEX_FIELD_NUMBER: _ClassVar[int]
    TO_NUMA_NODE_INDEX_FIELD_NUMBER: _ClassVar[int]
    MOST_BYTES_FIELD_NUMBER: _ClassVar[int]
    pod_uid: str
    container_name: str
    from_numa_node_index: int
    to_numa_node_index: int
    most_bytes: int
    def __init__(self, pod_uid: _Optional[str] = ..., container_name: _Optional[str] = ..., from_numa_node_index: _Optional[int] = ..., to_numa_node_index: _Optional[int] = ..., most_bytes: _Optional[int] = ...) -> None: ...

class Drain(_message.Message):
    __slots__ = ("reconnect_after_milliseconds", "drain_reason")
    RECONNECT_AFTER_MILLISECONDS_FIELD_NUMBER: _ClassVar[int]
    DRAIN_REASON_FIELD_NUMBER: _ClassVar[int]
    reconnect_after_milliseconds: int
    drain_reason: str
    def __init__(self, reconnect_after_milliseconds: _Optional[int] = ..., drain_reason: _Optional[str] = ...) -> None: ...
