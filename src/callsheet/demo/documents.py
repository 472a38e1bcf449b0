"""The JSON that the former system and other tools left in the demo: legacy files and manifests, as plain values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from callsheet.codec import size_mib

Json = dict[str, Any]


def response(urls: list[str], shape: str, job: str) -> Json:
    """A training job's answer: "full", "short", or "error" (which names no URL)."""
    if shape == "error":
        return {
            "id": job,
            "status": "FAILED",
            "error": "CUDA out of memory",
            "output": {"status": "error", "message": "generation stopped before the first image"},
        }
    if shape == "short":
        return {"output": {"output": {"s3_image_urls": urls}}}
    return {
        "delayTime": 1874,
        "executionTime": 412_337,
        "id": job,
        "output": {"output": {"job_id": job, "s3_image_urls": urls}, "status": "success"},
        "status": "COMPLETED",
    }


def prompt_metadata(
    prompts: Mapping[str, str], urls: Mapping[str, str], good: Iterable[str], generated_at: str
) -> Json:
    """Prompt, mark and, where there is one, URL of each image."""
    marked = frozenset(good)
    return {
        "images": {
            filename: {
                "prompt": text,
                "good": filename in marked,
                **({"s3_url": urls[filename]} if filename in urls else {}),
                "generated_at": generated_at,
            }
            for filename, text in prompts.items()
        }
    }


def older_manifest(prompts: Mapping[str, str], urls: Mapping[str, str]) -> Json:
    """The per-folder manifest.json of long ago."""
    return {"version": 1, "images": {name: {"s3_url": url, "prompt": prompts[name]} for name, url in urls.items()}}


def entry(
    filename: str, local_path: str, *, size_bytes: int, mtime: float, md5: str, url: str | None, checked: bool
) -> Json:
    """One image of a manifest. `checked`: an earlier sync compared both sides and found them equal."""
    row: Json = {
        "filename": filename,
        "local_path": local_path,
        "size_bytes": size_bytes,
        "size_mb": size_mib(size_bytes),
        "modified_timestamp": mtime,
        "modified_date": stamp(mtime),
        "md5_hash": md5,
        "s3_url": url,
        "status": "synced" if url else "local_only",
    }
    if checked and url:
        row["synced_md5"] = md5
    return row


def manifest(name: str, actor_id: str, base_image: str, rows: list[Json], shape: str, moment: float) -> Json:
    """A manifest as it was before: "synced", "foreign" or "bare" (see `cast.Role`)."""
    size_bytes = sum(row["size_bytes"] for row in rows)
    head: Json = {"character_id": actor_id, "character_name": name}
    ours: Json = {"training_data": rows, "training_data_updated": stamp(moment)}
    counts: Json = {
        "training_images_count": len(rows),
        "training_data_size_bytes": size_bytes,
        "training_data_size_mb": size_mib(size_bytes),
    }
    if shape == "synced":
        return {**head, **ours, "statistics": counts}
    others: Json = {
        "metadata": {"source": "casting sheet", "style": "illustration", "tags": ["demo", "portrait"]},
        "base_images": [{"path": base_image, "width": 512, "height": 640, "approved": True}],
    }
    tail: Json = {
        "lora_model": {"name": f"{name}_v2", "trigger_word": f"actor{actor_id}", "steps": 1600, "trained": False},
        "migration_timestamp": stamp(moment - 86_400),
    }
    if shape == "bare":
        return {**head, **others, "statistics": {"total_files": 1}, **tail}
    statistics: Json = {"total_files": len(rows) + 1, "total_size_bytes": size_bytes, **counts, "scene_images_count": 0}
    return {**head, **others, "scene_images": [], **ours, "statistics": statistics, **tail, "status": "active"}


def migration_summary(actors: int, moment: float) -> Json:
    """Another tool's report, which lies among the manifests and is none."""
    return {"migrated_at": stamp(moment), "actors_processed": actors, "manifests_created": 3, "errors": []}


def stamp(moment: float) -> str:
    """Seconds since the epoch as UTC without zone, six decimals."""
    return datetime.fromtimestamp(moment, UTC).replace(tzinfo=None).isoformat(timespec="microseconds")
