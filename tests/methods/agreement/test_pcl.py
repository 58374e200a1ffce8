"""PCL's pairs: the same slice, and slices at one height of different volumes."""

import numpy as np
import torch

from sslseg.data.views.batches import Places, PretrainBatch
from sslseg.testing import methods


def test_who_attracts_whom():
    pcl = methods.create("pcl", reach=0.1)
    volume, height = torch.tensor([0, 0, 1, 2]), torch.tensor([0.50, 0.55, 0.55, 0.70])
    places = Places(volume, volume, volume, height)
    batch = PretrainBatch((torch.zeros(4, 1, 8, 8),) * 2, np.arange(4), places=places)
    mates = pcl.mates(batch)
    one = torch.tensor(
        [
            [1, 0, 1, 0],  # 0.05 from its neighbour, but of its own volume
            [0, 1, 1, 0],
            [1, 1, 1, 0],
            [0, 0, 0, 1],  # 0.15 from the next
        ]
    ).bool()
    assert torch.equal(mates, one.repeat(2, 2))
    apart = batch._replace(places=places._replace(height=torch.tensor([0.0, 1.0, 0.25, 0.5])))
    assert torch.equal(methods.create("pcl", reach=0.25).mates(apart), torch.eye(4).bool().repeat(2, 2))


def test_places_come_with_the_batch():
    given = methods.batch("pcl")
    assert methods.batch("simclr").places is None  # which does not ask for them
    store = methods.slices(1)
    assert torch.equal(given.places.volume, torch.from_numpy(store.index["volume"].to_numpy()[given.rows]))
    assert set(given.places.height.tolist()) <= {0.0, 1 / 3, 2 / 3, 1.0} or given.places.height.max() <= 1
