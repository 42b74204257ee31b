from __future__ import annotations

import json
import resource
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

from lang1_assets.ops import shard_writing
from lang1_assets.ops.shard_writing import ShardsReport, write_shards
from lang1_assets.ops.shards import ShardError, TokenShards
from lang1_assets.ops.tokenizer import tokenizer_sha256

NUM_DOCUMENTS = 60


def write_tokenizer(folder: Path, num_extra: int = 0) -> Path:
    """Word n is token n + 3: the documents can be read back by eye."""
    folder.mkdir(exist_ok=True)
    names = ["<unk>", "<s>", "</s>", *(f"w{number}" for number in range(100 + num_extra))]
    words = Tokenizer(models.WordLevel({name: number for number, name in enumerate(names)}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    words.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"bos_token": "<s>", "eos_token": "</s>"}))
    return folder


def num_words(number: int) -> int:
    return number % 7 + 1 if number else 0


def document(number: int) -> str:
    return " ".join(f"w{(number + place) % 100}" for place in range(num_words(number)))


def tokens_of(number: int) -> tuple[int, ...]:
    return (1, *((number + place) % 100 + 3 for place in range(num_words(number))), 2)


def documents(numbers: range | list[int]) -> pl.DataFrame:
    return pl.DataFrame(
        {"note_id": [f"N{number}" for number in numbers], "text": [document(number) for number in numbers]},
        schema={"note_id": pl.String, "text": pl.String},
    )


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    return write_tokenizer(tmp_path / "tokenizer")


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    documents(range(40)).write_parquet(tmp_path / "a.parquet")
    documents(range(40, NUM_DOCUMENTS)).write_parquet(tmp_path / "b.parquet")
    return [tmp_path / "a.parquet", tmp_path / "b.parquet"]


def write(files: list[Path], tokenizer: Path, output: Path, **settings: object) -> ShardsReport:
    output.mkdir()
    defaults = {"val_fraction": 0.2, "shard_tokens": 60, "seed": 7, "num_workers": 1, "filter": None}
    return write_shards(
        files,
        id_column="note_id",
        text_column="text",
        tokenizer_folder=tokenizer,
        output=output,
        **{"on_progress": lambda done, total: None, **defaults, **settings},
    )


def read_documents(folder: Path, split: str) -> list[tuple[int, ...]]:
    opened = TokenShards(folder, split)
    flat = opened.read(0, opened.num_tokens)
    return [tuple(part.tolist()) for part in np.split(flat, np.flatnonzero(flat == 1)[1:])]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture
def folder(files: list[Path], tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Jobs of 16 rows in batches of 4, so that documents cross every kind of border."""
    monkeypatch.setattr(shard_writing, "DOCUMENTS_PER_JOB", 16)
    monkeypatch.setattr(shard_writing, "BATCH_DOCUMENTS", 4)
    write(files, tokenizer, tmp_path / "shards")
    return tmp_path / "shards"


def test_every_document_is_in_one_split_framed_and_in_order(folder: Path) -> None:
    train, val = read_documents(folder, "train"), read_documents(folder, "val")
    expected = [tokens_of(number) for number in range(NUM_DOCUMENTS)]
    assert sorted(train + val) == sorted(expected)
    assert train == [row for row in expected if row in set(train)]
    assert 4 <= len(val) <= 22
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["dtype"] == "uint16"
    assert len(manifest["shards"]) > 6
    for shard in manifest["shards"]:
        raw = np.fromfile(folder / shard["file"], dtype="<u2")
        assert len(raw) == shard["num_tokens"]
        assert (raw == 1).sum() == (raw == 2).sum() == shard["num_documents"]
    assert {shard["file"] for shard in manifest["shards"]} == set(contents(folder)) - {"manifest.json"}


def test_any_number_of_workers_writes_the_same_files(files: list[Path], tokenizer: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    one = write(files, tokenizer, tmp_path / "one", on_progress=lambda done, total: seen.append((done, total)))
    two = write(files, tokenizer, tmp_path / "two", num_workers=2)
    assert one == two
    assert one.num_documents + one.num_val_documents == NUM_DOCUMENTS
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert seen == [(1, 2), (2, 2)]


@pytest.mark.parametrize("val_fraction", [0.2, 0.0001])
def test_the_same_documents_are_held_out_in_any_order(
    files: list[Path], tokenizer: Path, tmp_path: Path, val_fraction: float
) -> None:
    write(files, tokenizer, tmp_path / "one", val_fraction=val_fraction)
    documents(list(reversed(range(NUM_DOCUMENTS)))).write_parquet(tmp_path / "reversed.parquet")
    report = write([tmp_path / "reversed.parquet"], tokenizer, tmp_path / "two", val_fraction=val_fraction)
    val = read_documents(tmp_path / "one", "val")
    assert sorted(val) == sorted(read_documents(tmp_path / "two", "val"))
    assert report.num_val_documents == len(val) >= 1
    assert report.num_documents == NUM_DOCUMENTS - len(val)
    write(files, tokenizer, tmp_path / "three", val_fraction=0.2, seed=8)
    assert sorted(val) != sorted(read_documents(tmp_path / "three", "val"))


def test_held_out_share_is_near_its_fraction() -> None:
    held = sum(shard_writing.hash_of(f"N{number}", 3) < 0.001 * 2**64 for number in range(100_000))
    assert 60 <= held <= 145


def test_the_filter_chooses_rows(files: list[Path], tokenizer: Path, tmp_path: Path) -> None:
    chosen = pl.col("note_id").is_in(["N3", "N5", "N41"])
    report = write(files, tokenizer, tmp_path / "out", filter=chosen, num_workers=2)
    assert (report.num_documents, report.num_val_documents) == (2, 1)
    both = read_documents(tmp_path / "out", "train") + read_documents(tmp_path / "out", "val")
    assert sorted(both) == sorted(tokens_of(number) for number in (3, 5, 41))


def test_what_is_left_out_is_looked_up_file_by_file(files: list[Path], tokenizer: Path, tmp_path: Path) -> None:
    """N41 is in the second file: the first file's list says nothing of it, and a list may name what the filter left out."""
    left_out = tmp_path / "left_out"
    left_out.mkdir()
    for path, ids in zip(files, (["N3", "N41", "N39"], ["N50"]), strict=True):
        pl.DataFrame({"note_id": ids}).write_parquet(left_out / path.name)
    report = write(
        files, tokenizer, tmp_path / "out", left_out=left_out, filter=pl.col("note_id") != "N39", num_workers=2
    )
    assert report.num_documents + report.num_val_documents == NUM_DOCUMENTS - 3
    both = read_documents(tmp_path / "out", "train") + read_documents(tmp_path / "out", "val")
    assert sorted(both) == sorted(tokens_of(number) for number in range(NUM_DOCUMENTS) if number not in (3, 39, 50))


def test_a_list_of_what_to_leave_out_that_is_missing_is_an_error(
    files: list[Path], tokenizer: Path, tmp_path: Path
) -> None:
    with pytest.raises(ShardError, match=r"a\.parquet: cannot be read"):
        write(files, tokenizer, tmp_path / "out", left_out=tmp_path / "nowhere")


def test_a_large_vocabulary_takes_four_bytes(files: list[Path], tmp_path: Path) -> None:
    tokenizer = write_tokenizer(tmp_path / "large", num_extra=70_000)
    write(files[:1], tokenizer, tmp_path / "out")
    assert TokenShards(tmp_path / "out", "train").dtype == np.dtype("<u4")
    both = read_documents(tmp_path / "out", "train") + read_documents(tmp_path / "out", "val")
    assert sorted(both) == sorted(tokens_of(number) for number in range(40))


@given(st.data())
def test_any_part_reads_as_from_one_array(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.integers(2, 9), min_size=1, max_size=4))
    flat = np.arange(sum(sizes), dtype="<u2")
    folder = tmp_path_factory.mktemp("parts")
    listed = []
    for number, part in enumerate(np.split(flat, np.cumsum(sizes)[:-1])):
        part.tofile(folder / f"{number}.bin")
        listed.append({"file": f"{number}.bin", "split": "train", "num_tokens": len(part)})
    manifest = {"format_version": 1, "dtype": "uint16", "vocab_size": 99, "tokenizer_sha256": "", "shards": listed}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    opened = TokenShards(folder, "train")
    start, stop = sorted(data.draw(st.tuples(*[st.integers(0, len(flat))] * 2)))
    assert opened.read(start, stop).tolist() == flat[start:stop].tolist()
    context = data.draw(st.integers(1, 5))
    windows = [opened.window(index, context) for index in range(opened.num_windows(context))]
    predicted = [token for window in windows for token in window[1:].tolist()]
    order = np.array(data.draw(st.permutations(range(len(windows)))), dtype=np.int64)
    at_once = np.full((len(windows), context + 1), -1)
    opened.windows_into(list(at_once), order, context)
    assert at_once.tolist() == [windows[index].tolist() for index in order.tolist()]
    assert predicted == flat[1 : 1 + len(predicted)].tolist()
    assert len(flat) - 1 - len(predicted) < context
    with pytest.raises(IndexError):
        opened.read(0, len(flat) + 1)


def test_more_shards_than_files_may_be_open(tmp_path: Path) -> None:
    for number in range(600):
        (tmp_path / f"{number}.bin").write_bytes(np.arange(4, dtype="<u2").tobytes())
    shards = [{"file": f"{number}.bin", "split": "train", "num_tokens": 4} for number in range(600)]
    manifest = {"format_version": 1, "dtype": "uint16", "vocab_size": 4, "tokenizer_sha256": "", "shards": shards}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (500, limits[1]))
    try:
        assert TokenShards(tmp_path, "train").num_tokens == 2_400
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_a_folder_that_cannot_be_trusted_is_an_error_that_says_why(folder: Path, tokenizer: Path) -> None:
    sha256 = tokenizer_sha256(tokenizer)
    TokenShards(folder, "train", sha256).verify()
    with pytest.raises(ShardError, match="another tokenizer"):
        TokenShards(folder, "train", "0" * 64)
    with pytest.raises(ShardError, match="no shard of split 'test'"):
        TokenShards(folder, "test")
    shard = sorted(folder.glob("train-*.bin"))[1]
    whole = shard.read_bytes()
    shard.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
    with pytest.raises(ShardError, match=rf"{shard.name}: its checksum"):
        TokenShards(folder, "train").verify()
    shard.write_bytes(whole[:-2])
    with pytest.raises(ShardError, match=rf"{shard.name}: {len(whole) - 2} bytes, the manifest says {len(whole)}"):
        TokenShards(folder, "train")
    shard.unlink()
    with pytest.raises(ShardError, match=rf"{shard.name}: 0 bytes"):
        TokenShards(folder, "train")
    manifest = folder / "manifest.json"
    manifest.write_text('{"format_version": 1}')
    with pytest.raises(ShardError, match="lacks dtype, vocab_size"):
        TokenShards(folder, "train")
    manifest.write_text('{"format_version": 2}')
    with pytest.raises(ShardError, match="not a manifest of format 1"):
        TokenShards(folder, "train")
    manifest.write_text("{")
    with pytest.raises(ShardError, match="not a readable manifest"):
        TokenShards(folder, "train")


def test_documents_that_cannot_be_tokenized_are_an_error_that_names_the_file(
    files: list[Path], tokenizer: Path, tmp_path: Path
) -> None:
    with pytest.raises(ShardError, match=r"0 document\(s\) in this corpus"):
        write(files, tokenizer, tmp_path / "none", filter=pl.lit(False))
    with pytest.raises(ShardError, match=r"1 document\(s\) in this corpus"):
        write(files, tokenizer, tmp_path / "one", filter=pl.col("note_id") == "N3", val_fraction=0.0001)
    documents(range(3)).drop("text").write_parquet(tmp_path / "narrow.parquet")
    with pytest.raises(ShardError, match=r"narrow\.parquet: missing column\(s\) text"):
        write([tmp_path / "narrow.parquet"], tokenizer, tmp_path / "narrow")
    documents(range(3)).with_columns(text=pl.lit(None, pl.String)).write_parquet(tmp_path / "null.parquet")
    with pytest.raises(ShardError, match=r"null\.parquet: 3 rows without text"):
        write([tmp_path / "null.parquet"], tokenizer, tmp_path / "null")
    (tmp_path / "cut.parquet").write_bytes(files[0].read_bytes()[:100])
    with pytest.raises(ShardError, match=r"cut\.parquet: not a readable Parquet file"):
        write([tmp_path / "cut.parquet"], tokenizer, tmp_path / "cut")
    assert not list(tmp_path.glob("*/manifest.json"))
