"""MoCo's queue and its moving average."""

import copy

import torch

from sslseg.testing import methods


def test_a_batch_s_keys_enter_the_queue_after_its_loss_and_the_oldest_leave():
    moco, given = methods.create("moco", queue=20), methods.batch("moco")
    queue = moco.modules["queue"]
    before = queue.keys.clone()
    nets = {name: copy.deepcopy(net) for name, net in moco.modules.items()}
    value, _ = moco.loss(given)
    with torch.no_grad():
        key = nets["target_projector"](nets["target"](given.views[1]))
    assert torch.equal(queue.keys[8:], before[:12])
    torch.testing.assert_close(queue.keys[:8], key / key.norm(dim=1, keepdim=True))
    again, _ = moco.loss(given)  # its own keys are in the queue now
    assert again > value
    torch.testing.assert_close(queue.keys.norm(dim=1), torch.ones(20))


def test_the_key_encoder_follows_slowly():
    moco = methods.create("moco", tau=0.9)
    start = [p.detach().clone() for p in moco.modules["target"].parameters()]
    with torch.no_grad():
        for p in moco.modules["online"].parameters():
            p.add_(1.0)
    assert moco.after_step(0.3) == {"tau": 0.9}
    for old, now in zip(start, moco.modules["target"].parameters(), strict=True):
        torch.testing.assert_close(now, old + 0.1, rtol=1e-4, atol=1e-5)
