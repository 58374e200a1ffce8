"""DINO's centre and teacher."""

import copy

import pytest
import torch

from sslseg.testing import methods
from sslseg.training import agreement, optim


def test_the_centre_follows_the_teacher_s_mean_after_the_loss():
    dino, given = methods.create("dino", centre_momentum=0.9), methods.batch("dino")
    nets = copy.deepcopy(dino.modules)
    value, _ = dino.loss(given)
    with torch.no_grad():
        outputs = []
        for view in (torch.cat(given.views[:2]),):
            z = nets["target_head"](nets["target"](view))
            z = z / z.norm(dim=1, keepdim=True)
            w = nets["target_last"].weight / nets["target_last"].weight.norm(dim=1, keepdim=True)
            outputs.append(z @ w.T)
    torch.testing.assert_close(dino.modules["centre"].value, 0.1 * outputs[0].mean(0), rtol=1e-4, atol=1e-6)
    assert value.item() > 0


def test_the_loss_is_over_the_student_s_views_that_the_teacher_s_is_not():
    dino, given = methods.create("dino"), methods.batch("dino")
    student = copy.deepcopy(dino)
    value, _ = dino.loss(given)
    big, small = torch.cat(given.views[:2]), torch.cat(given.views[2:])
    told = [student.told(student.modules["online"](v)).split(8) for v in (big, small)]
    teacher = student.told(student.modules["target"](big), "target_").split(8)
    wanted = agreement.distilled([*told[0], *told[1]], list(teacher), torch.zeros(64), (0.1, 0.04))
    assert value.item() == pytest.approx(wanted.item(), rel=1e-5)


def test_the_teacher_moves_by_its_schedule():
    dino = methods.create("dino")
    before = dino.modules["target_last"].weight.detach().clone()
    with torch.no_grad():
        dino.modules["last"].weight.add_(1.0)
    tau = dino.after_step(0.5)["tau"]
    assert tau == pytest.approx(optim.tau_at(0.5, 0.996)) == pytest.approx(0.998)
    torch.testing.assert_close(dino.modules["target_last"].weight, before + (1 - tau))
