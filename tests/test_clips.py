"""Clips become volumes whose slices are their frames."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from nnssl_plugin.errors import InputError
from nnssl_plugin.images.clip import frames_per_second, read_clip
from nnssl_plugin.nnunet.dataset_json import is_unlabelled, patient_of, table_row_of
from tests.scans import conversion_json, dataset_json, files_of, read, run_convert

CODECS = {".mp4": "mpeg4", ".avi": "mpeg4", ".mov": "mpeg4", ".mpeg": "mpeg2video", ".gif": "gif"}


def moving(frames: int = 8, size: int = 64, seed: int = 0) -> np.ndarray:
    """`[T, Y, X, 3]`: smooth grey speckle that moves."""
    small = np.random.default_rng(seed).integers(30, 90, (size // 8 + 2, size // 8 + 2))
    speckle = np.kron(small, np.ones((8, 8)))
    grey = np.stack([np.roll(speckle, 3 * t, axis=1)[:size, :size] for t in range(frames)])
    return np.repeat(grey[..., None], 3, axis=3).astype(np.uint8)


def write_clip(path: Path, frames: np.ndarray, rate: int = 25) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(CODECS[path.suffix], rate=Fraction(rate))
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "rgb8" if path.suffix == ".gif" else "yuv420p"
        if path.suffix != ".gif":
            stream.bit_rate = 4_000_000
        for frame in frames:
            for packet in stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


@pytest.mark.parametrize("ending", [".mp4", ".avi", ".mov", ".mpeg"])
def test_formats(tmp_path: Path, ending: str) -> None:
    frames = moving()
    path = write_clip(tmp_path / f"a{ending}", frames)
    clip = read_clip(path)
    assert clip.frames.shape == frames.shape[:3]
    assert np.abs(clip.frames.astype(int) - frames[..., 0]).mean() < 4
    assert frames_per_second(path) == 25
    assert np.array_equal(read_clip(path, stride=3).frames, clip.frames[::3])
    assert read_clip(path, stride=3).notes == ("every 3th frame",)


def test_a_folder_of_frames_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    frames = moving(frames=11)
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(tmp_path / f"frame{number}.png")
    assert np.array_equal(read_clip(tmp_path).frames, frames[..., 0])
    assert frames_per_second(tmp_path) is None


def test_borders_and_burnt_in_marks_go(tmp_path: Path) -> None:
    frames = np.zeros((8, 80, 96, 3), np.uint8)
    frames[:, 8:72, 16:80] = moving()
    frames[:, 20:26, 20:40] = 200
    frames[:, 50:54, 30:40] = (250, 200, 0)
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(tmp_path / f"{number}.png")
    clip = read_clip(tmp_path)
    assert clip.frames.shape == (8, 64, 64)
    assert not clip.frames[:, 12:18, 4:24].any()
    assert not clip.frames[:, 42:46, 14:24].any()
    kept = np.ones((64, 64), bool)
    kept[12:18, 4:24] = kept[42:46, 14:24] = False
    assert np.array_equal(clip.frames[:, kept], moving()[..., 0][:, kept])
    assert clip.notes == ("2.1 % of the picture blackened as burnt-in marks", "black borders cropped, 96x80 to 64x64")


def test_a_still_picture_has_no_marks(tmp_path: Path) -> None:
    still = np.repeat(moving(1) + 100, 6, axis=0)
    for number, frame in enumerate(still):
        Image.fromarray(frame).save(tmp_path / f"{number}.png")
    assert np.array_equal(read_clip(tmp_path).frames, still[..., 0])


def test_clips_that_cannot_be_used(tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "whole.mp4", moving()).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 3])
    (tmp_path / "text.avi").write_text("no clip")
    with pytest.raises(InputError, match=r"cut\.mp4 (is no clip|is truncated)"):
        read_clip(tmp_path / "cut.mp4")
    with pytest.raises(InputError, match=r"text\.avi is no clip"):
        frames_per_second(tmp_path / "text.avi")
    sizes = tmp_path / "sizes"
    sizes.mkdir()
    for number, size in enumerate((64, 64, 48)):
        Image.fromarray(moving(1, size)[0]).save(sizes / f"{number}.png")
    with pytest.raises(InputError, match=r"frame 3 has another size than the first \(64x64 and 48x48\)"):
        read_clip(sizes)
    black = tmp_path / "black"
    black.mkdir()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(black / "0.png")
    with pytest.raises(InputError, match="nothing but black"):
        read_clip(black)


def test_conversion(source: Path, raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for i in range(3):
        write_clip(source / f"clip{i}.mp4", moving(seed=i), rate=20)
    (source / "broken.mov").write_bytes(b"nothing")
    write_clip(source / "single.mp4", moving(1, seed=9), rate=20)
    table = source.parent / "clips.csv"
    table.write_text(
        "case,class,patient_id\n"
        + "".join(
            f"{c},{'ab'[i % 2]},p{i // 2}\n" for i, c in enumerate(("clip0", "clip1", "clip2", "single", "broken"))
        )
    )
    words = ("ultrasound", "-i", source, "-d", 531, "--name", "U", "--frames-per-second", 5)
    with pytest.raises(InputError, match="clips need --table FILE --group COLUMN"):
        run_convert(*words)
    with pytest.raises(InputError, match="clips need"):
        run_convert(*words, "--table", table, "--columns", "class")
    assert not list(raw.iterdir())
    assert run_convert(*words, "--table", table, "--columns", "class", "--group", "patient_id") == 1
    folder = raw / "Dataset531_U"
    content = dataset_json(folder)
    assert is_unlabelled(content)
    assert set(content["nnssl_plugin"]["cases"]) == {"clip0", "clip1", "clip2", "single"}
    assert table_row_of(content, "clip1") == {"class": "b", "frame_seconds": "0.2"}
    assert patient_of(content, "clip1") == patient_of(content, "clip0") == "p0"
    (image,), _ = files_of(folder, "clip2")
    assert read(image).shape == (2, 64, 64)
    assert "every 4th frame" in str(conversion_json(folder)["cases"]["clip0"])
    out = capsys.readouterr().out
    assert "broken: " in out
    assert "--classify class" in out


def test_every_published_format(real_data: Path) -> None:
    folder = real_data / "ultrasound-pocus" / "other-formats"
    files = [path for path in sorted(folder.iterdir()) if path.suffix != ".csv"]
    assert len(files) == 4
    for path in files:
        clip = read_clip(path, stride=20)
        assert len(clip.frames) >= 3
        assert frames_per_second(path)
