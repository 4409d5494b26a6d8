from plimsoll_proto.v1 import column_pb2 as _column_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ShrinkStage(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SHRINK_STAGE_UNSPECIFIED: _ClassVar[ShrinkStage]
    SHRINK_STAGE_RECLAIMING: _ClassVar[ShrinkStage]
    SHRINK_STAGE_REACHED: _ClassVar[ShrinkStage]
    SHRINK_STAGE_STOPPED: _ClassVar[ShrinkStage]
    SHRINK_STAGE_OBSERVED: _ClassVar[ShrinkStage]
SHRINK_STAGE_UNSPECIFIED: ShrinkStage
SHRINK_STAGE_RECLAIMING: ShrinkStage
SHRINK_STAGE_REACHED: ShrinkStage
SHRINK_STAGE_STOPPED: ShrinkStage
SHRINK_STAGE_OBSERVED: ShrinkStage

class AttendRequest(_message.Message):
    __slots__ = ("sequence_number", "follows_sequence_number", "acknowledged_sequence_number", "hello", "roster", "sample_batch", "forecast_batch", "outcome_batch", "model_delta", "shrink_report", "lease_request")
    SEQUENCE_NUMBER_FIELD_NUMBER: _ClassVar[int]
    FOLLOWS_SEQUENCE_NUMBER_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGED_SEQUENCE_NUMBER_FIELD_NUMBER: _ClassVar[int]
    HELLO_FIELD_NUMBER: _ClassVar[int]
    ROSTER_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_BATCH_FIELD_NUMBER: _ClassVar[int]
    FORECAST_BATCH_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_BATCH_FIELD_NUMBER: _ClassVar[int]
    MODEL_DELTA_FIELD_NUMBER: _ClassVar[int]
    SHRINK_REPORT_FIELD_NUMBER: _ClassVar[int]
    LEASE_REQUEST_FIELD_NUMBER: _ClassVar[int]
    sequence_number: int
    follows_sequence_number: int
    acknowledged_sequence_number: int
    hello: Hello
    roster: Roster
    sample_batch: SampleBatch
    forecast_batch: ForecastBatch
    outcome_batch: OutcomeBatch
    model_delta: ModelDelta
    shrink_report: ShrinkReport
    lease_request: LeaseRequest
    def __init__(self, sequence_number: _Optional[int] = ..., follows_sequence_number: _Optional[int] = ..., acknowledged_sequence_number: _Optional[int] = ..., hello: _Optional[_Union[Hello, _Mapping]] = ..., roster: _Optional[_Union[Roster, _Mapping]] = ..., sample_batch: _Optional[_Union[SampleBatch, _Mapping]] = ..., forecast_batch: _Optional[_Union[ForecastBatch, _Mapping]] = ..., outcome_batch: _Optional[_Union[OutcomeBatch, _Mapping]] = ..., model_delta: _Optional[_Union[ModelDelta, _Mapping]] = ..., shrink_report: _Optional[_Union[ShrinkReport, _Mapping]] = ..., lease_request: _Optional[_Union[LeaseRequest, _Mapping]] = ...) -> None: ...

class ProtocolVersion(_message.Message):
    __slots__ = ("major_number", "minor_number")
    MAJOR_NUMBER_FIELD_NUMBER: _ClassVar[int]
    MINOR_NUMBER_FIELD_NUMBER: _ClassVar[int]
    major_number: int
    minor_number: int
    def __init__(self, major_number: _Optional[int] = ..., minor_number: _Optional[int] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("protocol_version", "kube_node_name", "agent_epoch_id", "operator_epoch_id", "acknowledged_sequence_number", "received_sequence_number", "sent_unix_milliseconds", "agent_version_name", "kernel_release_name", "kernel_capabilities", "roster", "policies_wanted")
    PROTOCOL_VERSION_FIELD_NUMBER: _ClassVar[int]
    KUBE_NODE_NAME_FIELD_NUMBER: _ClassVar[int]
    AGENT_EPOCH_ID_FIELD_NUMBER: _ClassVar[int]
    OPERATOR_EPOCH_ID_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGED_SEQUENCE_NUMBER_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_SEQUENCE_NUMBER_FIELD_NUMBER: _ClassVar[int]
    SENT_UNIX_MILLISECONDS_FIELD_NUMBER: _ClassVar[int]
    AGENT_VERSION_NAME_FIELD_NUMBER: _ClassVar[int]
    KERNEL_RELEASE_NAME_FIELD_NUMBER: _ClassVar[int]
    KERNEL_CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    ROSTER_FIELD_NUMBER: _ClassVar[int]
    POLICIES_WANTED_FIELD_NUMBER: _ClassVar[int]
    protocol_version: ProtocolVersion
    kube_node_name: str
    agent_epoch_id: int
    operator_epoch_id: int
    acknowledged_sequence_number: int
    received_sequence_number: int
    sent_unix_milliseconds: int
    agent_version_name: str
    kernel_release_name: str
    kernel_capabilities: _containers.RepeatedCompositeFieldContainer[KernelCapability]
    roster: Roster
    policies_wanted: bool
    def __init__(self, protocol_version: _Optional[_Union[ProtocolVersion, _Mapping]] = ..., kube_node_name: _Optional[str] = ..., agent_epoch_id: _Optional[int] = ..., operator_epoch_id: _Optional[int] = ..., acknowledged_sequence_number: _Optional[int] = ..., received_sequence_number: _Optional[int] = ..., sent_unix_milliseconds: _Optional[int] = ..., agent_version_name: _Optional[str] = ..., kernel_release_name: _Optional[str] = ..., kernel_capabilities: _Optional[_Iterable[_Union[KernelCapability, _Mapping]]] = ..., roster: _Optional[_Union[Roster, _Mapping]] = ..., policies_wanted: _Optional[bool] = ...) -> None: ...

class KernelCapability(_message.Message):
    __slots__ = ("engine_name", "level_name", "missing_reason")
    ENGINE_NAME_FIELD_NUMBER: _ClassVar[int]
    LEVEL_NAME_FIELD_NUMBER: _ClassVar[int]
    MISSING_REASON_FIELD_NUMBER: _ClassVar[int]
    engine_name: str
    level_name: str
    missing_reason: str
    def __init__(self, engine_name: _Optional[str] = ..., level_name: _Optional[str] = ..., missing_reason: _Optional[str] = ...) -> None: ...

class Roster(_message.Message):
    __slots__ = ("added_entries", "removed_container_indexes")
    ADDED_ENTRIES_FIELD_NUMBER: _ClassVar[int]
    REMOVED_CONTAINER_INDEXES_FIELD_NUMBER: _ClassVar[int]
    added_entries: _containers.RepeatedCompositeFieldContainer[RosterEntry]
    removed_container_indexes: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, added_entries: _Optional[_Iterable[_Union[RosterEntry, _Mapping]]] = ..., removed_container_indexes: _Optional[_Iterable[int]] = ...) -> None: ...

class RosterEntry(_message.Message):
    __slots__ = ("container_index", "pod_uid", "container_id", "container_name")
    CONTAINER_INDEX_FIELD_NUMBER: _ClassVar[int]
    POD_UID_FIELD_NUMBER: _ClassVar[int]
    CONTAINER_ID_FIELD_NUMBER: _ClassVar[int]
    CONTAINER_NAME_FIELD_NUMBER: _ClassVar[int]
    container_index: int
    pod_uid: str
    container_id: str
    container_name: str
    def __init__(self, container_index: _Optional[int] = ..., pod_uid: _Optional[str] = ..., container_id: _Optional[str] = ..., container_name: _Optional[str] = ...) -> None: ...

class SampleBatch(_message.Message):
    __slots__ = ("taken_unix_milliseconds", "container_index", "usage_bytes", "working_set_bytes", "memory_max_bytes", "needed_bytes", "cold_bytes", "refault_bytes_total", "stall_microseconds_total", "oom_kill_count_total", "kube_node_available_bytes", "dropped_batch_count_total", "unsure_bytes")
    TAKEN_UNIX_MILLISECONDS_FIELD_NUMBER: _ClassVar[int]
    CONTAINER_INDEX_FIELD_NUMBER: _ClassVar[int]
    USAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    WORKING_SET_BYTES_FIELD_NUMBER: _ClassVar[int]
    MEMORY_MAX_BYTES_FIELD_NUMBER: _ClassVar[int]
    NEEDED_BYTES_FIELD_NUMBER: _ClassVar[int]
    COLD_BYTES_FIELD_NUMBER: _ClassVar[int]
    REFAULT_BYTES_TOTAL_FIELD_NUMBER: _ClassVar[int]
    STALL_MICROSECONDS_TOTAL_FIELD_NUMBER: _ClassVar[int]
    OOM_KILL_COUNT_TOTAL_FIELD_NUMBER: _ClassVar[int]
    KUBE_NODE_AVAILABLE_BYTES_FIELD_NUMBER: _ClassVar[int]
    DROPPED_BATCH_COUNT_TOTAL_FIELD_NUMBER: _ClassVar[int]
    UNSURE_BYTES_FIELD_NUMBER: _ClassVar[int]
    taken_unix_milliseconds: int
    container_index: _column_pb2.Column
    usage_bytes: _column_pb2.Column
    working_set_bytes: _column_pb2.Column
    memory_max_bytes: _column_pb2.Column
    needed_bytes: _column_pb2.Column
    cold_bytes: _column_pb2.Column
    refault_bytes_total: _column_pb2.Column
    stall_microseconds_total: _column_pb2.Column
    oom_kill_count_total: _column_pb2.Column
    kube_node_available_bytes: int
    dropped_batch_count_total: int
    unsure_bytes: _column_pb2.Column
    def __init__(self, taken_unix_milliseconds: _Optional[int] = ..., container_index: _Optional[_Union[_column_pb2.Column, _Mapping]] = ..., usage_bytes: _Optional[_Union[_column_pb2.Column, _Mapping]] = ..., working_set_bytes: _Optional[_Union[_column_pb2.Column, _Mapping]] = ..., memory_max_bytes: _Optional[_Union[_column_pb2.Column, _Mapping]] = ..., needed_bytes: _Optional[_Union[_column_pb2.Column, _Mapping]] = ..., cold_bytes: _Optional[_Union[_column_pb2.Column, _Mapping]] = ..., refault_bytes_total: _Optional[_Union[_column_pb2.Column, _Mapping]] = ..., stall_microseconds_total: _Optional[_Union[_column_pb2.Column, _Mapping]] = ..., oom_kill_count_total: _Optional[_Union[_column_pb2.Column, _Mapping]] = ..., kube_node_available_bytes: _Optional[int] = ..., dropped_batch_count_total: _Optional[int] = ..., unsure_bytes: _Optional[_Union[_column_pb2.Column, _Mapping]] = ...) -> None: ...

class ForecastBatch(_message.Message):
    __slots__ = ("made_unix_milliseconds", "horizon_milliseconds", "container_index", "pressure_probability_ppm", "limit_reached_milliseconds", "kube_node_pressure_probability_ppm")
    MADE_UNIX_MILLISECONDS_FIELD_NUMBER: _ClassVar[int]
    HORIZON_MILLISECONDS_FIELD_NUMBER: _ClassVar[int]
    CONTAINER_INDEX_FIELD_NUMBER: _ClassVar[int]
    PRESSURE_PROBABILITY_PPM_FIELD_NUMBER: _ClassVar[int]
    LIMIT_REACHED_MILLISECONDS_FIELD_NUMBER: _ClassVar[int]
    KUBE_NODE_PRESSURE_PROBABILITY_PPM_FIELD_NUMBER: _ClassVar[int]
    made_unix_milliseconds: int
    horizon_milliseconds: int
    container_index: _column_pb2.Column
    pressure_probability_ppm: _column_pb2.Column
    limit_reached_milliseconds: _column_pb2.Column
    kube_node_pressure_probability_ppm: int
    def __init__(self, made_unix_milliseconds: _Optional[int] = ..., horizon_milliseconds: _Optional[int] = ..., container_index: _Optional[_Union[_column_pb2.Column, _Mapping]] = ..., pressure_probability_ppm: _Optional[_Union[_column_pb2.Column, _Mapping]] = ..., limit_reached_milliseconds: _Optional[_Union[_column_pb2.Column, _Mapping]] = ..., kube_node_pressure_probability_ppm: _Optional[int] = ...) -> None: ...

class OutcomeBatch(_message.Message):
    __slots__ = ("taken_unix_milliseconds", "container_index", "asked_bytes_total", "taken_bytes_total", "returned_bytes_total")
    TAKEN_UNIX_MILLISECONDS_FIELD_NUMBER: _ClassVar[int]
    CONTAINER_INDEX_FIELD_NUMBER: _ClassVar[int]
    ASKED_BYTES_TOTAL_FIELD_NUMBER: _ClassVar[int]
    TAKEN_BYTES_TOTAL_FIELD_NUMBER: _ClassVar[int]
    RETURNED_BYTES_TOTAL_FIELD_NUMBER: _ClassVar[int]
    taken_unix_milliseconds: int
    container_index: _column_pb2.Column
    asked_bytes_total: _column_pb2.Column
    taken_bytes_total: _column_pb2.Column
    returned_bytes_total: _column_pb2.Column
    def __init__(self, taken_unix_milliseconds: _Optional[int] = ..., container_index: _Optional[_Union[_column_pb2.Column, _Mapping]] = ..., asked_bytes_total: _Optional[_Union[_column_pb2.Column, _Mapping]] = ..., taken_bytes_total: _Optional[_Union[_column_pb2.Column, _Mapping]] = ..., returned_bytes_total: _Optional[_Union[_column_pb2.Column, _Mapping]] = ...) -> None: ...

class ModelDelta(_message.Message):
    __slots__ = ("delta_checksum", "model_kind_name", "class_name", "schema_version_number", "base_checksum", "observation_count", "payload_content")
    DELTA_CHECKSUM_FIELD_NUMBER: _ClassVar[int]
    MODEL_KIND_NAME_FIELD_NUMBER: _ClassVar[int]
    CLASS_NAME_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_VERSION_NUMBER_FIELD_NUMBER: _ClassVar[int]
    BASE_CHECKSUM_FIELD_NUMBER: _ClassVar[int]
    OBSERVATION_COUNT_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_CONTENT_FIELD_NUMBER: _ClassVar[int]
    delta_checksum: str
    model_kind_name: str
    class_name: str
    schema_version_number: int
    base_checksum: str
    observation_count: int
    payload_content: bytes
    def __init__(self, delta_checksum: _Optional[str] = ..., model_kind_name: _Optional[str] = ..., class_name: _Optional[str] = ..., schema_version_number: _Optional[int] = ..., base_checksum: _Optional[str] = ..., observation_count: _Optional[int] = ..., payload_content: _Optional[bytes] = ...) -> None: ...

class ShrinkReport(_message.Message):
    __slots__ = ("shrink_id", "shrink_stage", "remaining_bytes", "memory_max_bytes", "stop_reason", "oom_kill_count_total")
    SHRINK_ID_FIELD_NUMBER: _ClassVar[int]
    SHRINK_STAGE_FIELD_NUMBER: _ClassVar[int]
    REMAINING_BYTES_FIELD_NUMBER: _ClassVar[int]
    MEMORY_MAX_BYTES_FIELD_NUMBER: _ClassVar[int]
    STOP_REASON_FIELD_NUMBER: _ClassVar[int]
    OOM_KILL_COUNT_TOTAL_FIELD_NUMBER: _ClassVar[int]
    shrink_id: int
    shrink_stage: ShrinkStage
    remaining_bytes: int
    memory_max_bytes: int
    stop_reason: str
    oom_kill_count_total: int
    def __init__(self, shrink_id: _Optional[int] = ..., shrink_stage: _Optional[_Union[ShrinkStage, str]] = ..., remaining_bytes: _Optional[int] = ..., memory_max_bytes: _Optional[int] = ..., stop_reason: _Optional[str] = ..., oom_kill_count_total: _Optional[int] = ...) -> None: ...

class LeaseRequest(_message.Message):
    __slots__ = ("lease_id", "container_index", "wanted_bytes", "memory_max_bytes", "growth_bytes_per_second", "limit_reached_milliseconds", "asked_unix_milliseconds")
    LEASE_ID_FIELD_NUMBER: _ClassVar[int]
    CONTAINER_INDEX_FIELD_NUMBER: _ClassVar[int]
    WANTED_BYTES_FIELD_NUMBER: _ClassVar[int]
    MEMORY_MAX_BYTES_FIELD_NUMBER: _ClassVar[int]
    GROWTH_BYTES_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    LIMIT_REACHED_MILLISECONDS_FIELD_NUMBER: _ClassVar[int]
    ASKED_UNIX_MILLISECONDS_FIELD_NUMBER: _ClassVar[int]
    lease_id: int
    container_index: int
    wanted_bytes: int
    memory_max_bytes: int
    growth_bytes_per_second: int
    limit_reached_milliseconds: int
    asked_unix_milliseconds: int
    def __init__(self, lease_id: _Optional[int] = ..., container_index: _Optional[int] = ..., wanted_bytes: _Optional[int] = ..., memory_max_bytes: _Optional[int] = ..., growth_bytes_per_second: _Optional[int] = ..., limit_reached_milliseconds: _Optional[int] = ..., asked_unix_milliseconds: _Optional[int] = ...) -> None: ...
