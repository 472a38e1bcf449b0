"""Bugs that somebody might make, and what in the suite must notice each."""

from __future__ import annotations

import re
from dataclasses import dataclass

_SEEDS = re.compile(r"seeds (\d+)-(\d+)")


@dataclass(frozen=True, slots=True)
class Mutant:
    """One bug. In `file`, below src/callsheet, `new` takes the place of `old`, which stands there once.

    `breaks` is the number of a promise of docs/reliability.md, or what else no longer holds. `killer` is what must fail: the node id of a test,
    or `seeds 0-99`, the simulated histories of these seeds.
    """

    name: str
    file: str
    old: str
    new: str
    breaks: str
    killer: str


def planted(mutant: Mutant, source: str) -> str:
    """The text of the mutant's file with the bug in it."""
    found = source.count(mutant.old)
    if found != 1:
        raise AssertionError(f"{mutant.name}: what it changes is {found} times in {mutant.file}")
    return source.replace(mutant.old, mutant.new)


def seeds_of(killer: str) -> range:
    """The seeds of the histories that are a killer; empty if it is a test."""
    found = _SEEDS.fullmatch(killer)
    return range(int(found[1]), int(found[2]) + 1) if found else range(0)


MUTANTS = (
    Mutant(
        "a manifest is not flushed",
        "files.py",
        old=("                system.write_all(descriptor, data)\n                system.fsync(descriptor)\n"),
        new="                system.write_all(descriptor, data)\n",
        breaks="3",
        killer="seeds 0-99",
    ),
    Mutant(
        "a manifest gets its name before it is written",
        "files.py",
        old=(
            "                system.write_all(descriptor, data)\n"
            "                system.fsync(descriptor)\n"
            "            finally:\n"
            "                system.close(descriptor)\n"
            "            system.replace(temporary, target)\n"
        ),
        new=(
            "                system.replace(temporary, target)\n"
            "                system.write_all(descriptor, data)\n"
            "                system.fsync(descriptor)\n"
            "            finally:\n"
            "                system.close(descriptor)\n"
        ),
        breaks="3",
        killer="seeds 0-99",
    ),
    Mutant(
        "the manifests' folder is not flushed",
        "store.py",
        old="        for error in folders.flush([self.folder]).values():\n",
        new="        for error in ():\n",
        breaks="2",
        killer="seeds 0-99",
    ),
    Mutant(
        "a new folder's name is not flushed",
        "folders.py",
        old="    while path not in _settled and (above := os.path.dirname(path)) != path:\n",
        new="    while False:\n",
        breaks="2",
        killer="seeds 0-99",
    ),
    Mutant(
        "a folder that was removed is taken for durable when it is made again",
        "folders.py",
        old="        return\n    _settled.discard(path)\n",
        new="        return\n",
        breaks="2",
        killer="tests/simulator/test_folders.py::test_a_folder_that_somebody_removed_is_made_to_survive_anew",
    ),
    Mutant(
        "a journal is not flushed",
        "files.py",
        old=("            system.fsync(descriptor)\n            folders.settle(os.path.dirname(path))\n"),
        new="            folders.settle(os.path.dirname(path))\n",
        breaks="what a run did can be taken back",
        killer="seeds 500-599",
    ),
    Mutant(
        "a journal's name is not flushed",
        "files.py",
        old=(
            "            folders.settle(os.path.dirname(path))\n            folders.flush_names(os.path.dirname(path))\n"
        ),
        new="            folders.settle(os.path.dirname(path))\n",
        breaks="what a run did can be taken back",
        killer="seeds 100-199",
    ),
    Mutant(
        "a download is not flushed",
        "drafts.py",
        old="    told = system.write_durably([(one.draft.open_descriptor, one.data, one.mtime_ns) for one in fresh])\n",
        new=(
            "    told: list[OSError | None] = [None for _ in fresh]\n"
            "    for number, one in enumerate(fresh):\n"
            "        try:\n"
            "            system.write_all(one.draft.open_descriptor, one.data)\n"
            "            system.utime(one.draft.open_descriptor, ns=(one.mtime_ns, one.mtime_ns))\n"
            "        except OSError as error:\n"
            "            told[number] = error\n"
        ),
        breaks="1",
        killer="seeds 1000-1099",
    ),
    Mutant(
        "the names of what was pulled are not flushed",
        "relook.py",
        old="        self._unsafe += make_durable(self._site, outcomes)\n",
        new="",
        breaks="1",
        killer="tests/simulator/test_folders.py::test_what_was_pulled_survives",
    ),
    Mutant(
        "a file's old name goes before its new one is flushed",
        "files.py",
        old="    linked = drafts.linked(path, target)\n",
        new=(
            "    linked = drafts.linked(path, target)\n"
            "    if linked:\n"
            "        _give_up(path, target)\n"
            "        linked = False\n"
        ),
        breaks="1",
        killer="tests/simulator/test_found.py::test_what_was_found_once_is_not_found_again[an image that was restored is gone after a power cut]",
    ),
    Mutant(
        "a move replaces what has the name",
        "drafts.py",
        old="        system.link(path, target)\n",
        new=("        system.replace(path, target)\n        return False\n"),
        breaks="1",
        killer="seeds 300-399",
    ),
    Mutant(
        "a lock is not taken",
        "locks.py",
        old="        ours = _locks(descriptor, fcntl.LOCK_EX) and system.fstat",
        new="        ours = system.fstat",
        breaks="6",
        killer="seeds 1600-1699",
    ),
    Mutant(
        "a manifest is not read again under its lock",
        "store.py",
        old="        same = before is not None and codec",
        new="        same = before is not None  # codec",
        breaks="6",
        killer="seeds 100-199",
    ),
    Mutant(
        "a sync overwrites what was marked meanwhile",
        "sync.py",
        old=(
            "            if fresh is held.before or fresh.source == held.before.source:\n"
            "                return held.after\n"
        ),
        new="            return held.after\n",
        breaks="6",
        killer="seeds 100-199",
    ),
    Mutant(
        "keys that are not ours are dropped",
        "codec.py",
        old="    document = dict(manifest.source)\n",
        new="    document: dict[str, Any] = {}\n",
        breaks="6",
        killer="seeds 0-99",
    ),
    Mutant(
        "an image's keys that are not ours are dropped",
        "codec.py",
        old="    row = {**entry.source, **ours}\n",
        new="    row = ours\n",
        breaks="6",
        killer="tests/pure/test_codec.py::test_keys_of_an_image_that_are_not_ours_survive",
    ),
    Mutant(
        "a manifest with a key twice is read",
        "codec.py",
        old="    if len(result) != len(pairs):\n",
        new="    if False:\n",
        breaks="6",
        killer="tests/fault/test_bad_manifests.py::test_an_unsound_manifest_is_told_with_its_place_and_left_as_it_is",
    ),
    Mutant(
        "an undo takes a mark back that has changed since",
        "plan.py",
        old="        if now != mark.after:\n",
        new="        if False:\n",
        breaks="6",
        killer="tests/pure/test_undo.py::test_a_mark_is_taken_back_if_it_is_still_so",
    ),
    Mutant(
        "a mark is made before its journal is written",
        "amend.py",
        old="        manifest, _ = run.store.update(actor, change, run.started, before_save=begin)\n",
        new=("        manifest, _ = run.store.update(actor, change, run.started)\n        begin()\n"),
        breaks="what a run did can be taken back",
        killer="tests/shell/test_curating.py::test_a_journal_that_cannot_be_written_keeps_the_mark_from_being_made",
    ),
    Mutant(
        "an undo replaces an image that has changed since",
        "plan.py",
        old="    if not torn and not _same(now, placed):\n",
        new="    if False:\n",
        breaks="what a run did can be taken back",
        killer="tests/pure/test_undo.py::test_what_has_changed_since_is_told_and_left_alone",
    ),
    Mutant(
        "a run is taken back while it goes on",
        "journal.py",
        old="        if self.is_under_way(run):\n",
        new="        if False:\n",
        breaks="what a run did can be taken back",
        killer="tests/shell/test_interrupt.py::test_a_run_that_is_going_on_is_not_taken_back_and_one_that_was_killed_can_be",
    ),
    Mutant(
        "response.json goes before its manifest is flushed",
        "migrate.py",
        old=("    run.store.flush()\n    return _into"),
        new="    return _into",
        breaks="2",
        killer="seeds 0-99",
    ),
    Mutant(
        "response.json goes before its manifest is read back",
        "migrate.py",
        old="        manifest = run.store.load(actor.stem) or Manifest(None)\n",
        new="        pass\n",
        breaks="2",
        killer="tests/fault/test_bad_manifests.py::test_a_response_json_whose_urls_are_not_in_the_manifest_that_is_read_back_stays",
    ),
    Mutant(
        "response.json goes though it was written to",
        "migrate.py",
        old=(
            "    if current != raw:\n"
            "        return False, () if current is None else changed\n"
            "    try:\n"
            "        files.move(path, trash)\n"
            "    except LocalError as error:\n"
            "        return False, (_problem(actor, error.code, error.sentence),) if system.lexists(path) else ()\n"
            "    if local.read_bytes(trash) != raw:\n"
        ),
        new=(
            "    try:\n"
            "        files.move(path, trash)\n"
            "    except LocalError as error:\n"
            "        return False, (_problem(actor, error.code, error.sentence),) if system.lexists(path) else ()\n"
            "    if False:\n"
        ),
        breaks="2",
        killer="tests/fault/test_bad_manifests.py::test_a_response_json_that_is_written_to_while_it_is_migrated_stays",
    ),
    Mutant(
        "response.json goes with a URL that is placed nowhere",
        "migrate.py",
        old="    if said.unplaced:\n",
        new="    if False:\n",
        breaks="2",
        killer="tests/fault/test_bad_manifests.py::test_a_url_that_cannot_be_placed_keeps_response_json_until_it_is_mended",
    ),
    Mutant(
        "an image that is on neither side is forgotten",
        "reconcile.py",
        old="            missing.append(_gone(known, remote, now))\n",
        new="            pass\n",
        breaks="2",
        killer="seeds 0-99",
    ),
    Mutant(
        "a manifest is written if nothing was learnt",
        "codec.py",
        old="    return None if same else new\n",
        new="    return new\n",
        breaks="5",
        killer="seeds 0-99",
    ),
    Mutant(
        "what stays proven is proven anew",
        "reconcile.py",
        old="    if same and known.status is status and known.evidence is not None:\n",
        new="    if False:\n",
        breaks="5",
        killer="seeds 0-99",
    ),
    Mutant(
        "a listing that broke off is taken as whole",
        "model.py",
        old="Sight.ABSENT if self.listing.complete else Sight.UNKNOWN",
        new="Sight.ABSENT",
        breaks="7",
        killer="seeds 2100-2199",
    ),
    Mutant(
        "actors after a break are taken to have nothing in S3",
        "listing.py",
        old="complete=folders.error is None",
        new="complete=True",
        breaks="7",
        killer="tests/fault/test_bad_remote.py::test_a_listing_that_breaks_on_page_two_is_true_before_the_break_and_unknown_after",
    ),
    Mutant(
        "the folder in which a listing breaks is taken as whole",
        "listing.py",
        old="            yield current, Listing(objects, complete=self.error is None)\n",
        new="            yield current, Listing(objects, complete=True)\n",
        breaks="7",
        killer="tests/fault/test_bad_remote.py::test_wherever_a_listing_breaks_nothing_becomes_local_only_or_missing",
    ),
    Mutant(
        "a folder that cannot be read is taken as empty",
        "model.py",
        old="Sight.ABSENT if self.local_complete else Sight.UNKNOWN",
        new="Sight.ABSENT",
        breaks="7",
        killer="tests/fault/test_bad_local.py::test_a_folder_that_cannot_be_read_keeps_all_that_is_recorded",
    ),
    Mutant(
        "S3 that was not looked at is taken as empty",
        "model.py",
        old=("        if self.listing is None:\n            return Sight.UNKNOWN\n"),
        new=("        if self.listing is None:\n            return Sight.ABSENT\n"),
        breaks="7",
        killer="seeds 300-399",
    ),
    Mutant(
        "an object that may not be looked at is taken as absent",
        "observe.py",
        old=(
            "        except NoSuchObject:\n"
            "            sides[location] = Sight.ABSENT\n"
            "        except RemoteError as error:\n"
            "            failure = error\n"
        ),
        new=("        except RemoteError:\n            sides[location] = Sight.ABSENT\n"),
        breaks="7",
        killer="tests/fault/test_bad_remote.py::test_where_everything_is_forbidden_all_stays_and_is_told_once",
    ),
    Mutant(
        "a mass loss is recorded",
        "sync.py",
        old="        if gone >= _LOSS_FLOOR and gone * 2 > recorded:\n",
        new="        if False:\n",
        breaks="7",
        killer="tests/fault/test_bad_local.py::test_more_than_half_and_at_least_twenty_is_what_is_asked_about",
    ),
    Mutant(
        "a loss of just 20 images is recorded",
        "sync.py",
        old="        if gone >= _LOSS_FLOOR and",
        new="        if gone > _LOSS_FLOOR and",
        breaks="7",
        killer="tests/fault/test_bad_local.py::test_more_than_half_and_at_least_twenty_is_what_is_asked_about",
    ),
    Mutant(
        "a file that was new when it was hashed is not hashed again",
        "reconcile.py",
        old=" or not is_settled(mtime_ns, settled_ns):",
        new=":",
        breaks="4",
        killer="seeds 300-399",
    ),
    Mutant(
        "a folder that was new when it was read is not read again",
        "survey.py",
        old="        if stamp is not None and max(stamp.mtime_ns, stamp.ctime_ns) < looked_ns - _RACY_NS:\n",
        new="        if stamp is not None:\n",
        breaks="4",
        killer="tests/sim/test_surveys.py::test_what_changed_a_moment_ago_is_read_again",
    ),
    Mutant(
        "hashes of another manifest are taken to be settled",
        "store.py",
        old="        return moment_ns if digest and digest == _digest_of_hashes(manifest) else 0\n",
        new="        return moment_ns\n",
        breaks="4",
        killer="tests/shell/test_real_trees.py::test_an_older_manifest_that_came_back_is_not_vouched_for_by_newer_hashes",
    ),
    Mutant(
        "a file whose time cannot be told is replaced",
        "local.py",
        old=(
            "    except FileNotFoundError:\n"
            "        return None\n"
            "    except OSError as error:\n"
            '        raise failed("look at", path, error) from error\n'
        ),
        new="    except OSError:\n        return None\n",
        breaks="4",
        killer="tests/simulator/test_found.py::test_what_was_found_once_is_not_found_again[an image that was repaired is recorded as it was before]",
    ),
    Mutant(
        "a download that is new is not hashed again",
        "download.py",
        old="        telling = reconcile.is_settled(moment_ns, system.time_ns())\n",
        new="        telling = True\n",
        breaks="4",
        killer="tests/fault/test_transfers_files.py::test_what_changes_between_a_pull_and_the_look_after_it_is_seen",
    ),
    Mutant(
        "a memo is recalled for another listing",
        "memo.py",
        old=' or (look.there and kept["there"] != look.there):',
        new=":",
        breaks="4",
        killer="seeds 0-99",
    ),
    Mutant(
        "a memo is recalled for files of other sizes and times",
        "memo.py",
        old="isinstance(folder, local.Scan) else folder\n",
        new='isinstance(folder, local.Scan) else b"".join(row.partition(b"/")[0] for row in folder.split(b"\\0"))\n',
        breaks="4",
        killer="seeds 0-99",
    ),
    Mutant(
        "an encrypted object's ETag is taken for its MD5",
        "remote/answers.py",
        old="    return is_md5(etag) and etag_is_plain(headers)\n",
        new="    return is_md5(etag)\n",
        breaks="4",
        killer="tests/fault/test_s3_faults.py::test_a_head_says_how_an_md5_is_known",
    ),
    Mutant(
        "an ETag in parts is taken for the MD5 of a download",
        "download.py",
        old=(
            "    told = {wanted.md5, described.md5, described.etag if described.etag_is_md5 else None} - {None}\n"
            "    parts = etag.is_multipart(described.etag)\n"
            "    if told or not parts:\n"
        ),
        new=(
            "    told = {wanted.md5, described.md5, described.etag} - {None}\n"
            "    parts = etag.is_multipart(described.etag)\n"
            "    if told or not parts:\n"
        ),
        breaks="what arrives is what was sent",
        killer="tests/fault/test_transfers_s3.py::test_flipped_bytes_of_an_object_without_an_md5_are_found_out",
    ),
    Mutant(
        "the MD5 of a download is not compared",
        "download.py",
        old="        if is_it is False or (is_it is None and md5 not in arrived):\n",
        new="        if False:\n",
        breaks="what arrives is what was sent",
        killer="tests/fault/test_transfers_s3.py::test_bytes_that_are_always_flipped_are_refused_and_the_file_is_untouched",
    ),
    Mutant(
        "an object is replaced without a copy in the trash",
        "perform.py",
        old=("        _check_file(path, sent)\n        kept = _keep_in_s3(site, action.location, action.s3)\n"),
        new="        _check_file(path, sent)\n",
        breaks="1",
        killer="seeds 0-99",
    ),
    Mutant(
        "an object is removed without a copy in the trash",
        "perform.py",
        old="    kept = _keep_in_s3(site, action.location, there)\n",
        new="    kept = there\n",
        breaks="1",
        killer="seeds 0-99",
    ),
    Mutant(
        "a file is replaced without going to the trash",
        "download.py",
        old=("            kept = take(site, action, action.local)\n"),
        new=("            system.unlink(path)\n"),
        breaks="1",
        killer="seeds 0-99",
    ),
    Mutant(
        "a file is evicted without proof of its object",
        "perform.py",
        old="    if not _proven(site, described, held, site.path(action)):\n",
        new="    if False:\n",
        breaks="1",
        killer="seeds 0-99",
    ),
    Mutant(
        "the MD5 in metadata is proof enough to evict",
        "perform.py",
        old=("    if described.etag_is_md5:\n        return described.etag == held.md5\n"),
        new=(
            "    if described.etag_is_md5 or described.md5:\n"
            "        return (described.md5 or described.etag) == held.md5\n"
        ),
        breaks="1",
        killer="seeds 0-99",
    ),
    Mutant(
        "an object that changes while it is proven is not looked at again",
        "perform.py",
        old="        if not described.etag_is_md5:  # to prove it took its time\n",
        new="        if False:\n",
        breaks="1",
        killer="tests/fault/test_transfers_s3_meanwhile.py::test_an_eviction_whose_proof_took_long_looks_again",
    ),
    Mutant(
        "If-Match is not sent",
        "remote/conditions.py",
        old='        return {"If-Match": expected if self.bare_etags else f\'"{expected}"\'}\n',
        new="        return {}\n",
        breaks="1",
        killer="tests/contract/test_writes.py::test_a_store_that_ignores_conditions_says_so",
    ),
    Mutant(
        "a store that ignores conditions is not looked at",
        "remote/writing.py",
        old=("    if not heeds:\n        held"),
        new=("    if heeds is None:\n        held"),
        breaks="1",
        killer="tests/fault/test_s3_writes.py::test_where_conditions_are_not_heeded_the_place_is_looked_at",
    ),
    Mutant(
        "a write that was refused is not compared with what is there",
        "remote/writing.py",
        old=(
            "    held = _expected(session, write)\n"
            "    if held is not None:\n"
            "        return held\n"
            "    if isinstance(write.replaces"
        ),
        new="    if isinstance(write.replaces",
        breaks="what arrives is what was sent",
        killer="tests/fault/test_s3_writes.py::test_a_write_whose_answer_was_lost_is_a_success",
    ),
    Mutant(
        "a file that was taken aside is swept away",
        "files.py",
        old='ASIDE = ".callsheet_aside-"',
        new='ASIDE = ".callsheet-aside-"',
        breaks="1",
        killer="tests/fault/test_killed_runs.py::test_what_was_taken_aside_is_never_swept_away",
    ),
    Mutant(
        "a temporary file is swept while it is written",
        "files.py",
        old="_STALE_S = 3600.0",
        new="_STALE_S = 0.0",
        breaks="what arrives is what was sent",
        killer="tests/fault/test_leavings.py::test_a_sync_removes_old_temporary_files_and_leaves_those_that_are_being_written",
    ),
    Mutant(
        "what the trash gives back is not checked",
        "perform.py",
        old="    _check_trashed(source, action.trashed.version)\n",
        new="",
        breaks="what a run did can be taken back",
        killer="tests/fault/test_transfer_trash.py::test_a_damaged_file_in_the_trash_is_not_put_back_and_stays_there",
    ),
    Mutant(
        "the trash of a run that goes on is emptied",
        "trash.py",
        old="        if heap.going_on:\n",
        new="        if False:\n",
        breaks="1",
        killer="tests/fault/test_transfer_trash.py::test_the_trash_of_a_run_that_goes_on_for_days_is_emptied_only_when_that_is_over",
    ),
    Mutant(
        "the trash of another tree is emptied",
        "trash.py",
        old="        if heap.elsewhere and not named:\n",
        new="        if False:\n",
        breaks="1",
        killer="tests/fault/test_killed_runs.py::test_another_trees_trash_on_the_same_bucket_goes_by_name_only",
    ),
    Mutant(
        "a folder that leads elsewhere is written to",
        "local.py",
        old="    if not plain and not _inside(folder, within):\n",
        new="    if False:\n",
        breaks="nothing outside an actor's folder is touched",
        killer="tests/fault/test_transfers_files.py::test_a_training_folder_that_leads_elsewhere_is_not_followed",
    ),
    Mutant(
        "a symlink out of the actor's folder is followed",
        "local.py",
        old="        if not _inside(path, actor_folder):\n",
        new="        if False:\n",
        breaks="nothing outside an actor's folder is touched",
        killer="tests/fault/test_bad_local.py::test_a_link_that_leaves_the_actors_folder_is_not_followed",
    ),
    Mutant(
        "a linked image is moved",
        "site.py",
        old="    if system.islink(path):\n",
        new="    if False:\n",
        breaks="nothing outside an actor's folder is touched",
        killer="tests/fault/test_transfers_files.py::test_a_linked_image_is_neither_replaced_nor_removed",
    ),
    Mutant(
        "a harmful key is taken for a name",
        "observe.py",
        old="        for name in [name for name in images if layout.name_fault(name)]:\n",
        new="        for name in list[str]():\n",
        breaks="nothing outside an actor's folder is touched",
        killer="tests/fault/test_bad_local.py::test_a_key_whose_name_cannot_be_recorded_is_told_and_left",
    ),
    Mutant(
        "twins in Unicode form are not told",
        "layout.py",
        old='        groups[unicodedata.normalize("NFC", name).casefold()].append(name)\n',
        new="        groups[name.casefold()].append(name)\n",
        breaks="names that differ in case or form only are told",
        killer="tests/pure/test_layout.py::test_twins_are_found_across_case_and_normalisation",
    ),
    Mutant(
        "a manifest of another folder is taken",
        "survey.py",
        old="    if manifest is not None and manifest.names not in (None, actor.name):\n",
        new="    if False:\n",
        breaks="a manifest belongs to the folder that it names",
        killer="tests/fault/test_bad_manifests.py::test_a_manifest_that_names_another_folder_is_not_touched_until_adopt_settles_it",
    ),
    Mutant(
        "an object is replaced whatever it is by then",
        "perform.py",
        old="md5=_md5(sent), replaces=replaces)",
        new="md5=_md5(sent))",
        breaks="1",
        killer="seeds 800-899",
    ),
    Mutant(
        "an object is removed whatever it is by then",
        "perform.py",
        old="    site.remote.delete(action.location, if_match=str(there.etag))\n",
        new="    site.remote.delete(action.location)\n",
        breaks="1",
        killer="tests/fault/test_transfers_s3_meanwhile.py::test_what_somebody_else_does_to_an_object_in_the_middle_is_not_undone[delete-replaced]",
    ),
    Mutant(
        "a file that has changed is put away for the one that was meant",
        "site.py",
        old='        check_md5(aside, version, f"{printable(path)} changed since it was looked at")\n',
        new="        pass\n",
        breaks="1",
        killer="seeds 1200-1299",
    ),
    Mutant(
        "an object that has changed is taken for the one that was seen",
        "perform.py",
        old=('    if described.etag != etag:\n        raise ObjectChanged(f"{location} has changed'),
        new=('    if False:\n        raise ObjectChanged(f"{location} has changed'),
        breaks="1",
        killer="tests/fault/test_transfers_s3_meanwhile.py::test_an_eviction_whose_proof_took_long_looks_again",
    ),
    Mutant(
        "what is saved while a file is moved is deleted",
        "files.py",
        old="    if not os.path.samestat(now, copied or system.lstat(target)) or (copied",
        new="    if (copied",
        breaks="1",
        killer="tests/fault/test_transfers_far_trash.py::test_what_is_saved_while_a_file_is_put_away_stays[rm-replaced-False]",
    ),
    Mutant(
        "a memo is recalled for another manifest",
        "memo.py",
        old="*legacy.values(), manifest)",
        new="*legacy.values())",
        breaks="4",
        killer="seeds 700-799",
    ),
    Mutant(
        "a link is taken for what it leads to when it was first seen",
        "local.py",
        old="    return _sorted_out(system.items(inventory), training_dir, actor_folder) if linked else inventory\n",
        new="    return inventory if linked else inventory\n",
        breaks="4",
        killer="tests/sim/test_memos.py::test_what_a_link_leads_to_is_looked_at_each_time",
    ),
    Mutant(
        "a thread goes on with what it was handed after a stop",
        "dispatch.py",
        old=" for task in tasks if not halt()]",
        new=" for task in tasks]",
        breaks="what was stopped begins nothing more",
        killer="tests/pure/test_dispatch.py::test_after_a_stop_no_task_is_begun[20-100000]",
    ),
    Mutant(
        "folders that a batch has made are taken for durable",
        "folders.py",
        old="    told = _flushed(os.path.dirname(folder) for new in unsettled.values() for folder in reversed(new))\n",
        new="    told: dict[str, OSError] = {}\n",
        breaks="2",
        killer="tests/simulator/test_folders.py::test_a_new_folder_survives_with_those_above_it",
    ),
    Mutant(
        "where there are no links, a new file takes a name that is taken",
        "drafts.py",
        old="    if system.lexists(target):\n",
        new="    if False:\n",
        breaks="1",
        killer="tests/fault/test_drafts.py::test_drafts_get_their_names_and_what_has_a_name_keeps_it",
    ),
    Mutant(
        "memory that was not filled is taken for an image",
        "remote/reply.py",
        old="            filled = min(wanted, self._ahead_bytes)\n",
        new="            filled = wanted\n",
        breaks="what arrives is what was sent",
        killer="tests/fault/test_wire.py::test_what_came_into_memory_before_the_connection_broke_is_told",
    ),
    Mutant(
        "a thread goes on with what it was handed when nobody waits for it",
        "dispatch.py",
        old="            stop.ended = True\n",
        new="",
        breaks="what was stopped begins nothing more",
        killer="tests/pure/test_dispatch.py::test_when_whoever_asked_has_gone_no_task_is_begun",
    ),
    Mutant(
        "a memo is recalled though there is something to tell of the folder",
        "memo.py",
        old="        if isinstance(folder, local.Scan) and not _is_plain(folder):",
        new="        if False:",
        breaks="4",
        killer="tests/sim/test_memos.py::test_trouble_that_comes_later_is_told",
    ),
    Mutant(
        "images that are replaced are away until the last of their batch is",
        "download.py",
        old="            drafts.publish_one(draft)\n        else:\n            yield draft\n",
        new="        yield draft\n",
        breaks="an image is away from its place for a moment at most",
        killer="tests/fault/test_downloads.py::test_an_image_that_is_replaced_is_away_no_longer_than_must_be",
    ),
    Mutant(
        "an actor is looked at while one of its images is still to be moved",
        "relook.py",
        old="        self._left[action.actor] -= 1\n",
        new="        self._left[action.actor] = 0\n",
        breaks="4",
        killer="tests/fault/test_relook.py::test_an_actor_is_looked_at_once_when_all_of_its_images_are_moved[push]",
    ),
    Mutant(
        "what was seen at the end of a run is told as of its beginning",
        "sync.py",
        old="    return run if task.started is None else replace(run, started=task.started)\n",
        new="    return run\n",
        breaks="4",
        killer="tests/fault/test_relook.py::test_what_is_recorded_was_seen_after_all_was_done[pull]",
    ),
    Mutant(
        "a look that fails stops the transfers beside it",
        "remote/breaker.py",
        old="        other._failures = ChainMap({}, self._failures)\n",
        new="        other._failures = self._failures\n",
        breaks="an item that fails stops no other",
        killer="tests/fault/test_relook.py::test_a_store_that_cannot_be_listed_any_more_is_told_and_goes_on_to_be_used[push]",
    ),
)
