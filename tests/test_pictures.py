"""Natural images become volumes of one slice."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image

from nnssl_plugin.errors import InputError
from nnssl_plugin.images.picture import read_picture
from tests.scans import dataset_json, files_of, read, run_convert

GREY = np.random.default_rng(0).integers(0, 255, (20, 30), np.uint8)
RGB = np.random.default_rng(1).integers(0, 255, (20, 30, 3), np.uint8)


def saved(path: Path, picture: Image.Image, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, **options)
    return path


def pixels(path: Path, channel: int | None = None) -> np.ndarray:
    return sitk.GetArrayFromImage(read_picture(path, channel))


@pytest.mark.parametrize("ending", ["png", "bmp", "tif"])
def test_grey_pictures_are_one_slice(tmp_path: Path, ending: str) -> None:
    path = saved(tmp_path / f"a.{ending}", Image.fromarray(GREY))
    assert np.array_equal(pixels(path), GREY[None])
    assert read_picture(path).GetSpacing() == (1.0, 1.0, 1.0)


def test_sixteen_bits_stay_sixteen(tmp_path: Path) -> None:
    deep = GREY.astype(np.uint16) * 200
    assert np.array_equal(pixels(saved(tmp_path / "a.png", Image.fromarray(deep))), deep[None])


def test_jpeg(tmp_path: Path) -> None:
    smooth = np.tile(np.linspace(0, 250, 32).astype(np.uint8), (16, 1))
    path = saved(tmp_path / "a.JPG", Image.fromarray(smooth), quality=95)
    assert np.abs(pixels(path)[0].astype(int) - smooth).max() < 8


def test_grey_that_is_stored_in_colour_or_with_a_palette(tmp_path: Path) -> None:
    for mode in ("RGB", "RGBA", "P"):
        path = saved(tmp_path / f"{mode}.png", Image.fromarray(GREY).convert(mode))
        assert np.array_equal(pixels(path), GREY[None]), mode


def test_a_mask_of_one_bit_is_0_and_255(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", Image.fromarray(GREY > 100))
    assert np.array_equal(pixels(path)[0], 255 * (GREY > 100))


def test_colour_has_three_channels(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", Image.fromarray(RGB))
    assert all(np.array_equal(pixels(path, c)[0], RGB[..., c]) for c in range(3))
    with pytest.raises(InputError, match=r"a\.png is in colour: .*RGB=PATTERN"):
        read_picture(path)


def test_exif_turns_the_picture(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = saved(tmp_path / "a.png", Image.fromarray(GREY), exif=exif)
    assert np.array_equal(pixels(path)[0], np.rot90(GREY, -1))


def test_what_is_no_picture_for_us(tmp_path: Path) -> None:
    transparent = np.dstack([RGB, GREY])
    frames = [Image.fromarray(GREY), Image.fromarray(255 - GREY)]
    whole = saved(tmp_path / "whole.png", Image.fromarray(GREY)).read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.png").write_text("no picture")
    for path, message in (
        (saved(tmp_path / "alpha.png", Image.fromarray(transparent)), r"alpha\.png is transparent in parts"),
        (saved(tmp_path / "cmyk.jpg", Image.fromarray(RGB).convert("CMYK")), r"cmyk\.jpg is in CMYK colours"),
        (saved(tmp_path / "two.tif", frames[0], save_all=True, append_images=frames[1:]), "holds 2 pictures"),
        (tmp_path / "cut.png", r"cut\.png is truncated"),
        (tmp_path / "text.png", "no picture"),
    ):
        with pytest.raises(InputError, match=message):
            read_picture(path)


def test_a_folder_of_pictures_and_masks(source: Path, raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for i in range(3):
        saved(source / "images" / f"c{i}.png", Image.fromarray(np.roll(GREY, i)))
        saved(source / "masks" / f"c{i}.png", Image.fromarray(255 * np.eye(20, 30, i, dtype=np.uint8)))
    words = (
        "folder",
        "-i",
        source,
        "-d",
        505,
        "--name",
        "P",
        "--modality",
        "US=images/*.png",
        "--label",
        "masks/*.png",
    )
    assert run_convert(*words, "--label-name", "lesion=255") == 0
    folder = raw / "Dataset505_P"
    assert dataset_json(folder)["labels"] == {"background": 0, "lesion": 1}
    (image,), label = files_of(folder, "c1")
    assert np.array_equal(read(image)[0], np.roll(GREY, 1))
    assert np.array_equal(read(label)[0], np.eye(20, 30, 1))
    out = capsys.readouterr().out
    assert "1 a pixel" in out
    assert "255 becomes 1" in out
    assert "-c 2d" in out


def test_colour_pictures_in_a_folder_and_a_bad_one(source: Path, raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for i in range(2):
        saved(source / f"c{i}.jpg", Image.fromarray(np.roll(RGB, i, axis=0)), quality=100)
    saved(source / "c9.jpg", Image.fromarray(RGB).convert("CMYK"))
    assert run_convert("folder", "-i", source, "-d", 505, "--name", "P", "--modality", "RGB=*.jpg") == 1
    assert dataset_json(raw / "Dataset505_P")["channel_names"] == {"0": "R", "1": "G", "2": "B"}
    assert "c9: R:" in capsys.readouterr().out
