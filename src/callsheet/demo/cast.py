"""Who plays which case in the demo: a table, one row per actor. Numbers are those of the images."""

from __future__ import annotations

from dataclasses import dataclass

USER_BUCKET = "storyboard-user-files"
USER_ID = "5f0c6a52-8f3e-4f0b-9d57-2b1c7e64a9d1"


@dataclass(frozen=True, slots=True)
class Role:
    """One actor: which images are on disk and in S3, and which files of the former system lie beside them.

    Numbers in `edited_here` and `edited_there` have other bytes on disk, or in S3, than an earlier sync recorded.
    `response` is the shape of response.json: "full", "short", "error" or "" for none. `manifest` is what was in the
    manifest before: "synced" (all of `recorded`), "foreign" (the same amid keys of other tools), "bare" (such keys only).
    """

    name: str
    disk: range
    bucket: range
    note: str
    suffix: str = ".jpg"
    user_bucket: bool = False
    edited_here: frozenset[int] = frozenset()
    edited_there: frozenset[int] = frozenset()
    response: str = ""
    prompts: bool = False
    good: frozenset[int] = frozenset()
    older: bool = False
    manifest: str = ""
    recorded: range = range(0)
    base: str = "base_image"

    def filename(self, number: int) -> str:
        return f"{self.name}_{number}{self.suffix}"


CAST: tuple[Role, ...] = (
    Role(
        "0000_european_16_male",
        disk=range(17),
        bucket=range(12),
        response="full",
        note="17 images, 12 of them in S3 as well; 5 are on this disk only",
    ),
    Role(
        "0001_african_28_female",
        disk=range(9),
        bucket=range(13),
        response="short",
        note="4 of its images are in S3 only",
    ),
    Role(
        "0002_east_asian_34_female",
        disk=range(8),
        bucket=range(10),
        suffix=".png",
        user_bucket=True,
        response="full",
        note=f"its URLs point into a second bucket, {USER_BUCKET}; 2 of its images are only there",
    ),
    Role(
        "0003_south_asian_41_male",
        disk=range(12),
        bucket=range(12),
        edited_here=frozenset({2, 8}),
        edited_there=frozenset({5, 8}),
        manifest="synced",
        recorded=range(12),
        note="3 images differ between disk and S3: _2 was edited here, _5 in S3, _8 on both sides",
    ),
    Role(
        "0004_latin_american_23_female",
        disk=range(14),
        bucket=range(10),
        prompts=True,
        good=frozenset({0, 1, 4, 6, 9, 11}),
        note="prompts and good marks come from its prompt_metadata.json; 4 images are on this disk only",
    ),
    Role(
        "0005_middle_eastern_52_male",
        disk=range(10),
        bucket=range(8),
        manifest="foreign",
        recorded=range(11),
        note="its manifest records _10, which is on neither side: missing; keys of other tools stay as they are",
    ),
    Role(
        "0006_european_67_female",
        disk=range(8),
        bucket=range(11),
        older=True,
        base="poster_frame",
        note="URLs from an older manifest.json and a training_response.json: 3 images are in S3 only; its base image is a poster frame",
    ),
    Role(
        "0007_east_asian_19_male",
        disk=range(9),
        bucket=range(0),
        response="error",
        base="",
        note="its response.json is an error without URLs: nothing is in S3, and it has no base image",
    ),
    Role(
        "0008_pacific_islander_37_male",
        disk=range(0),
        bucket=range(8),
        base="",
        note="in S3 only, with no folder here",
    ),
    Role(
        "0009_african_28_female",
        disk=range(10),
        bucket=range(10),
        manifest="bare",
        note="everything in both places; its manifest holds the number 0009",
    ),
    Role(
        "0009_african_31_female",
        disk=range(9),
        bucket=range(6),
        response="full",
        note="collides with 0009_african_28_female, both are number 0009: adopt --own",
    ),
    Role(
        "0010_latin_american_45_male",
        disk=range(11),
        bucket=range(11),
        response="full",
        prompts=True,
        good=frozenset({0, 3, 7}),
        note="everything in both places, and one new picture that no sync has seen yet",
    ),
)

# Where a picture turns up after the sync.
ORPHAN_ACTOR = "0010_latin_american_45_male"
