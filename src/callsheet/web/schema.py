"""The shapes of requests and answers, for checking what comes in and for OpenAPI. What they mean is in docs/api.md."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool

StatusName = Literal["synced", "local_only", "s3_only", "out_of_sync"]
FilterName = Literal["synced", "local_only", "s3_only", "out_of_sync", "missing", "problems"]
SortName = Literal[
    "name", "-name", "updated", "-updated", "problems", "-problems", "total", "-total", "synced", "-synced",
    "local_only", "-local_only", "s3_only", "-s3_only", "out_of_sync", "-out_of_sync", "missing", "-missing",
]  # fmt: skip
Filename = Annotated[str, Field(min_length=1, max_length=255)]
ActorName = Annotated[str, Field(min_length=1, max_length=255)]


class Body(BaseModel):
    """A request's body: a key that is not known is an error, not ignored."""

    model_config = ConfigDict(extra="forbid")


class ErrorBody(BaseModel):
    """The one shape of every error."""

    error: str = Field(examples=["unknown_actor"])
    message: str = Field(examples=["There is no actor '9'"])
    hint: str = Field(examples=["`callsheet status` lists the actors."])


class ProblemBody(BaseModel):
    actor: str
    filename: str
    code: str
    message: str


class CountsBody(BaseModel):
    total_count: int
    synced_count: int
    local_only_count: int
    s3_only_count: int
    out_of_sync_count: int


class ActorRow(CountsBody):
    actor_id: int | str
    actor_name: str
    base_image_url: str | None
    missing_count: int
    good_count: int
    problem_count: int
    manifest_updated: str | None


class TotalsBody(BaseModel):
    actors: int
    total: int
    synced: int
    local_only: int
    s3_only: int
    out_of_sync: int
    missing: int
    problems: int


class IndexingBody(BaseModel):
    done: int
    total: int


class ActorList(BaseModel):
    actors: list[ActorRow]
    page: int
    per_page: int
    total: int
    totals: TotalsBody
    problems: list[ProblemBody]
    indexing: IndexingBody | None


class S3Body(BaseModel):
    uri: str
    etag: str
    md5: str | None
    size_bytes: int
    last_modified: str


class ImageBody(BaseModel):
    index: int
    filename: str
    s3_url: str | None
    local_exists: bool
    local_path: str | None
    md5_hash: str | None
    size_mb: float | None
    modified_date: str | None
    status: StatusName | None
    good: bool
    evidence: Literal["content", "md5", "etag", "multipart_etag", "listed", "recorded"] | None
    checked_at: str | None
    prompt: str | None
    change: Literal["local", "s3", "both", "unknown"] | None
    width: int | None
    height: int | None
    thumbnail_url: str
    content_url: str
    size_bytes: int | None
    changed_since_sync: Literal["touched", "gone"] | None
    corrupt: bool
    s3: S3Body | None
    etag: str


class OneImage(ImageBody):
    raw: dict[str, Any]


class CuratedImage(ImageBody):
    run: str


class MissingImage(BaseModel):
    filename: str
    md5_hash: str | None
    size_bytes: int | None
    modified_date: str | None
    s3_urls: list[str]
    removed_by: str | None
    prompt: str | None
    good: bool


class TrainingData(CountsBody):
    actor_id: int | str
    actor_name: str
    training_images: list[ImageBody]
    base_image_path: str | None
    manifest_updated: str | None
    missing_count: int
    orphaned_files: list[str]
    changed_since_sync: bool
    missing_images: list[MissingImage]
    base_image_url: str | None
    problems: list[ProblemBody]


class Curation(Body):
    """What is given is set; an empty prompt removes it."""

    good: StrictBool | None = None
    prompt: Annotated[str, Field(max_length=20_000)] | None = None

    model_config = ConfigDict(json_schema_extra={"examples": [{"good": True, "prompt": "a portrait in soft light"}]})


class Curations(Body):
    images: Annotated[dict[Filename, Curation], Field(min_length=1, max_length=20_000)]

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"images": {"0000_european_16_male_0.jpg": {"good": True}}}]}
    )


class Curated(BaseModel):
    run: str
    images: list[ImageBody]


class Health(BaseModel):
    status: Literal["ok"]
    version: str
    watching: bool
    notes: list[str] = Field(default=[], description="Only for those who have the token")
