"""Galleries on one to four devices: a program of its own, since XLA makes four of the CPU only when it starts."""

from __future__ import annotations

import awkward_galleries as awkward
import jax
import numpy as np
from jax.sharding import Mesh

from jaxret import rank

if __name__ == "__main__":
    devices = jax.devices()
    assert len(devices) == 4
    queries, gallery = awkward.vectors(0, 703, 12)
    query_codes, codes = awkward.codes(0, 703, 5)
    sequences = [gallery[start : start + 9 + start % 8] for start in range(0, 600, 6)]
    for count, chosen in (2, devices[2:]), (4, Mesh(np.array(devices).reshape(2, 2), ("a", "b"))):
        on_devices = rank.DeviceGallery(gallery, chosen, working_bytes=1 << 20)
        assert on_devices.mesh.devices.size == count
        assert {shard.device for shard in on_devices.bounded_rows(unit=False)[0].vectors.addressable_shards} == set(
            on_devices.mesh.devices.flat
        )
        back = on_devices.vectors(np.arange(703))
        np.testing.assert_array_equal(back.view(np.uint32), gallery.view(np.uint32))  # bits, signs of zeros too
        for search in (rank.euclidean_topk, rank.cosine_topk):
            awkward.assert_equal(search(queries, on_devices, 9), search(queries, gallery, 9))
        awkward.assert_equal(rank.par(queries, on_devices, 9, 0.2), rank.par(queries, gallery, 9, 0.2))
        codes_on_devices = rank.DeviceGallery(codes, chosen, working_bytes=1 << 20)
        films = rank.DeviceSequences(sequences, chosen)
        found, expected = (rank.dtw_topk(sequences[3:5], members, 4) for members in (films, sequences))
        np.testing.assert_array_equal(found.ids, expected.ids)
        np.testing.assert_array_equal(found.distances, expected.distances)
        expected = rank.hamming_topk(query_codes, codes, 90)
        awkward.assert_equal(rank.hamming_topk(query_codes, codes_on_devices, 90), expected)
    few = rank.DeviceGallery(codes[:5], devices)  # two devices have two rows, one has one, and one has none
    awkward.assert_equal(rank.hamming_topk(query_codes, few, 5), rank.hamming_topk(query_codes, codes[:5], 5))
