# SPDX-License-Identifier: MIT
"""write_files.py [folder]: trains each model to imitate another one with random weights, and writes two
files: <model>.safetensors with its state_dict, and <model>_scores.safetensors with inputs and the scores
that the model gives for them. main.cpp reads both."""
import sys

import torch
from safetensors.torch import save_file

from models import MODELS

folder = sys.argv[1] if len(sys.argv) > 1 else "."
torch.manual_seed(1)
for name, make in MODELS.items():
    model, teacher = make(), make().eval()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(300):
        inputs = make.inputs(64)
        scores = model(**inputs)
        with torch.no_grad():
            taught = teacher(**inputs)
            labels = (taught > taught.mean(0)).float()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(scores, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    inputs = make.inputs(20)
    with torch.no_grad():
        scores = model(**inputs)
    save_file(model.state_dict(), f"{folder}/{name}.safetensors", metadata={"format": "pt"})
    save_file({**inputs, "scores": scores.contiguous()}, f"{folder}/{name}_scores.safetensors")
    print(f"{name}: {sum(p.numel() for p in model.parameters())} parameters, loss {loss.item():.4f}")
