"""A stored encoder or U-Net in other programs' files, each opened again and compared with its source before it counts."""

import functools
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import cast

import segmentation_models_pytorch as smp
import timm
import torch

from sslseg.config.names import (
    CONFIG_FILE,
    KIND_ENCODER,
    KIND_SEGMENTER,
    WEIGHTS_FILE,
    EncoderError,
    ParamError,
)
from sslseg.models import cpu, encoder, segmenter, unet
from sslseg.models.exporters import graphs, twins
from sslseg.models.exporters.proof import Answer, Source, Unavailable, Written, answering, compared

DECODER = (16, 16, 16, 16, 16)  # of a U-Net that is built for its encoder's names alone


def source(folder: Path, kind: str) -> Source:
    """The network of a stored folder. Raises EncoderError: see `encoder.load` and `segmenter.load`."""
    with cpu.switched_off():
        if kind == KIND_ENCODER:
            state, config = encoder.read_state(folder)
            return Source(folder, kind, encoder.from_state(state, config).eval(), config)
        net, config = segmenter.load(folder)
        return Source(folder, kind, net.eval(), config)


def write(given: Source, out: Path, formats: Iterable[str] = ()) -> list[Written]:
    """Write every format of the source's kind, or those asked for, below `out`.

    Raises:
        ParamError: one that was asked for is unknown or not to be had.
        EncoderError: one that was asked for computes something else than its source.
    """
    known, asked = FORMATS[given.kind], tuple(dict.fromkeys(formats))
    if strange := [name for name in asked if name not in known]:
        raise ParamError(f"formats: {', '.join(strange)}: a {given.kind} is exported as {', '.join(known)}")
    found = []
    for name in asked or known:
        place = out / name
        place.mkdir(parents=True)
        try:
            with cpu.switched_off():
                found.append(known[name](given, name, place))
        except (Unavailable, EncoderError) as reason:
            if asked and isinstance(reason, Unavailable):
                raise ParamError(f"formats: {name}: {reason}") from None
            if asked:
                raise
            shutil.rmtree(place)
            found.append(Written(name, skipped=str(reason)))
    return found


# ---------------------------------------------------------------- formats
def _timm(given: Source, name: str, place: Path) -> Written:
    for file in (WEIGHTS_FILE, CONFIG_FILE):
        shutil.copyfile(given.folder / file, place / file)
    net = timm.create_model(f"local-dir:{place}", pretrained=True).eval()
    opens = 'timm.create_model("local-dir:timm", pretrained=True)'
    return compared(given, name, place, opens, answering(net))


def _twin(given: Source, name: str, place: Path) -> Written:
    """torchvision's and MONAI's."""
    twin = next((twin for twin in twins.of(given.architecture) if twin.library == name), None)
    if twin is None:
        absent = name == "monai" and given.architecture in twins.MONAI
        raise Unavailable(
            "pip install monai"
            if absent
            else f"{name} has no network that computes what {given.architecture} does"
        )
    with torch.random.fork_rng(devices=[]):
        net = twin.build(given.channels)
    state = twins.translated(given.net.state_dict(), given.architecture, twin, net)
    file = place / f"{twin.name}.pth"
    torch.save(state, file)
    net.load_state_dict(torch.load(file, weights_only=True))
    opens = f'torch.load("{name}/{file.name}", weights_only=True)  # a state dict of {twin.opens}'
    return compared(given, name, file, opens, answering(net.eval()))


def _smp_encoder(given: Source, name: str, place: Path) -> Written:
    try:
        net, _ = unet.build(given.net.state_dict(), given.config, classes=1, decoder_channels=DECODER, seed=0)
    except EncoderError as reason:
        raise Unavailable(str(reason)) from None
    file = place / f"tu-{given.architecture}.pth"
    torch.save(net.encoder.state_dict(), file)
    with torch.random.fork_rng(devices=[]):
        theirs = smp.encoders.get_encoder(
            f"tu-{given.architecture}", in_channels=given.channels, depth=unet.DEPTH, weights=None
        )
    theirs.load_state_dict(torch.load(file, weights_only=True))
    opens = f'torch.load("smp/{file.name}", weights_only=True)  # a state dict of smp.Unet("tu-{given.architecture}").encoder'
    width = theirs.out_channels[-1]
    maps = functools.partial(cast(encoder.Encoder, given.net).forward_intermediates, intermediates_only=True)
    own = answering(lambda images: [m for m in maps(images) if m.shape[1] == width][-1])
    return compared(given, name, file, opens, answering(lambda images: theirs.eval()(images)[-1]), own)


def _smp_unet(given: Source, name: str, place: Path) -> Written:
    cast(smp.Unet, given.net).save_pretrained(place)
    with torch.random.fork_rng(devices=[]):
        theirs = smp.from_pretrained(place)
    shutil.copymode(place / CONFIG_FILE, place / WEIGHTS_FILE)
    return compared(given, name, place, 'smp.from_pretrained("smp")', answering(theirs.eval()))


# format -> what writes it, the ending of its file, and the line of Python that opens that
GRAPHS: dict[str, tuple[Callable[[Source, Path], Answer], str, str]] = {
    "program": (graphs.write_program, "pt2", 'torch.export.load("{}").module()'),
    "onnx": (graphs.write_onnx, "onnx", 'onnxruntime.InferenceSession("{}").run(None, {{"image": images}})'),
}


def _graph(given: Source, name: str, place: Path) -> Written:
    write_it, ending, opens = GRAPHS[name]
    file = place / f"{given.kind}.{ending}"
    try:
        answer = write_it(given, file)
    except Unavailable:
        raise
    except Exception as error:  # torch's exporters raise their own and everybody else's
        why = str(error).strip().partition("\n")[0][:200]
        raise Unavailable(f"torch cannot write this network down ({type(error).__name__}: {why})") from error
    return compared(given, name, file, opens.format(f"{name}/{file.name}"), answer)


FORMATS: dict[str, dict[str, Callable[[Source, str, Path], Written]]] = {
    KIND_ENCODER: {
        "timm": _timm, "torchvision": _twin, "smp": _smp_encoder, "monai": _twin, "program": _graph, "onnx": _graph,
    },
    KIND_SEGMENTER: {"smp": _smp_unet, "program": _graph, "onnx": _graph},
}  # fmt: skip
