# SPDX-License-Identifier: MIT
"""check_files.py <program files> <folder> [<file>...]: files that C++ wrote, read by the reference reader
of safetensors; files of Python, read by C++; checksums against another implementation of XXH64; and of
the other files, that the reference reader accepts what C++ accepts."""
import json
import os
import subprocess
import sys

import numpy as np
import torch
import xxhash
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save_file
from safetensors.torch import load_file as load_torch
from safetensors.torch import save_file as save_torch

program, folder, others = sys.argv[1], sys.argv[2], sys.argv[3:]
types = {"F64": "f8", "F32": "f4", "I64": "i8", "I32": "i4", "I16": "i2", "I8": "i1", "U64": "u8", "U32": "u4",
         "U16": "u2", "U8": "u1"}
counted = {name: np.arange(1, 7).reshape(2, 3).astype(kind) for name, kind in types.items()}

# What C++ writes.
subprocess.run([program, "write", folder], check=True)
path = f"{folder}/types.safetensors"
with safe_open(path, "np") as file:
    assert file.metadata() == {'a "key"\né': "\\ text \x01"}, file.metadata()
    for name, array in counted.items():
        read = file.get_tensor(name)
        assert read.dtype == array.dtype and read.shape == (1, 2, 3) and (read[0] == array).all(), name
        assert file.get_tensor(name + " empty").shape == (0, 4), name
    assert (file.get_tensor("BOOL") == [True, False, True]).all()
    assert (file.get_tensor("F16") == np.array([1, -2, 2**-24], np.float16)).all()
with safe_open(path, "pt") as file:
    assert (file.get_tensor("BF16") == torch.tensor([1, -2], dtype=torch.bfloat16)).all()

path = f"{folder}/parts.safetensors"
with safe_open(path, "np") as file:
    assert file.metadata() == {"funnel.format": "1", "funnel.part.model": "parameters",
                               "funnel.part.state": "state", "k": "v"}, file.metadata()
parts = load_file(path)
assert (parts["model.weight"] == np.full((2, 3), .5, np.float32)).all() and parts["model.bias"].shape == (1, 3)
assert parts["state.time"] == -5 and parts["state.time"].shape == ()
assert bytes(parts["state.name"]) == b"likes" and (parts["state.sums"] == [1, 2, 3]).all()
assert parts["state.none"].shape == (0,) and (parts["golden.scores"] == [1, 2]).all()
assert load_torch(path)["model.weight"].shape == (2, 3)  # no type that PyTorch 1.13 lacks

bytes_of_file = open(path, "rb").read()
end = 8 + int.from_bytes(bytes_of_file[:8], "little")
header = json.loads(bytes_of_file[8:end])
order = sorted((key for key in header if key != "__metadata__"), key=lambda key: header[key]["data_offsets"])
assert order[-1] == "_checksums"
sums = [xxhash.xxh64(bytes_of_file[:end]).intdigest()]
for name in order[:-1]:
    first, last = header[name]["data_offsets"]
    assert (end + first) % 64 == 0 or name.startswith("_pad."), name
    sums.append(xxhash.xxh64(bytes_of_file[end + first:end + last]).intdigest())
assert sums == list(parts["_checksums"].view(np.uint64)), "checksums"

# What Python writes.
metadata = {"key": 'é "text"\n'}
save_file({**counted, "BOOL": np.array([True, False]), "F16": counted["F32"].astype(np.float16)},
          f"{folder}/numpy.safetensors", metadata=metadata)
save_torch({**{name: torch.from_numpy(array) for name, array in counted.items() if name in ("F32", "I64")},
            "BF16": torch.from_numpy(counted["F32"]).bfloat16()}, f"{folder}/torch.safetensors")


def parts_of(path):
    data = open(path, "rb").read()
    end = 8 + int.from_bytes(data[:8], "little")
    return json.loads(data[8:end]), data[end:]


# One file with all types, its values at odd offsets: BF16 is PyTorch's, the rest NumPy's.
header, data = parts_of(f"{folder}/numpy.safetensors")
other, more = parts_of(f"{folder}/torch.safetensors")
first, last = other["BF16"]["data_offsets"]
joined = {"odd": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}
for name, entry in header.items():
    if name != "__metadata__":
        entry = {**entry, "data_offsets": [offset + 1 for offset in entry["data_offsets"]]}
    joined[name] = entry
joined["BF16"] = {**other["BF16"], "data_offsets": [1 + len(data), 1 + len(data) + last - first]}
text = json.dumps(joined).encode()
with open(f"{folder}/python.safetensors", "wb") as file:
    file.write(len(text).to_bytes(8, "little") + text + b"\1" + data + more[first:last])
safe_open(f"{folder}/python.safetensors", "np")
for name, array in counted.items():
    np.save(f"{folder}/{name}_c.npy", array)
    np.save(f"{folder}/{name}_fortran.npy", np.asfortranarray(array))
    np.save(f"{folder}/{name}_number.npy", array[0, 0])
    for version in (2, 3):
        with open(f"{folder}/{name}_version{version}.npy", "wb") as file:
            np.lib.format.write_array(file, array, (version, 0))
np.save(f"{folder}/BOOL.npy", np.array([True, False]))
np.save(f"{folder}/big.npy", np.arange(6, dtype=">f4"))
np.save(f"{folder}/text.npy", np.array(["a", "b"]))
np.save(f"{folder}/objects.npy", np.array([{}, 1], object))
np.save(f"{folder}/records.npy", np.zeros(2, [("a", "<f4"), ("b", "<i4")]))
np.save(f"{folder}/complex.npy", np.zeros(2, complex))
subprocess.run([program, "read", folder], check=True)

# What C++ accepts the reference reader accepts.
accepted = 0
for begin in range(0, len(others), 500):
    verdicts = subprocess.run([program, "open"] + others[begin:begin + 500], check=True, capture_output=True)
    for line in os.fsdecode(verdicts.stdout).splitlines():
        verdict, path = line.split(" ", 1)
        if verdict == "ok":
            accepted += 1
            try:
                safe_open(path, "np")
            except SafetensorError as error:
                sys.exit(f"{path}: accepted by C++ but not by the reference reader: {error}")
print(f"types, parts, checksums, arrays: equal; {accepted} of {len(others)} other files accepted by both")
