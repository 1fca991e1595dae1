"""Fisher vectors of SIFT key points: what image-to-video retrieval used before networks.

F. Perronnin, J. Sanchez and T. Mensink, "Improving the Fisher kernel for large-scale image classification", ECCV 2010;
J. Sanchez et al., "Image classification with the Fisher vector: theory and practice", IJCV 2013. A. Araujo et al. (ICIP
2015) take one of all frames of a scene. The paper's have 4,096 numbers: 32 principal components of a descriptor and 64
Gaussians.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture

from jaxret.data.sampling.sift import sift_features

__all__ = ["FisherVectors", "root_sift"]

COMPONENTS, GAUSSIANS = 32, 64
_FITTED_ON = 20_000  # descriptors

Descriptors = npt.NDArray[np.float32]


def root_sift(image: npt.NDArray[np.uint8]) -> Descriptors:
    """RootSIFT of the strongest key points, (n, 128)."""
    return sift_features(image, 300, root=True, what="Fisher vectors").descriptors


class FisherVectors:
    """Descriptors to one vector, by how they pull at the means and variances of a mixture of Gaussians.

    Args:
      descriptors: of training images, (n, 128) each.
      seed: of the draw and of the mixture.
      gaussians, components: of the mixture, and of a descriptor.
    """

    def __init__(
        self,
        descriptors: Sequence[Descriptors],
        *,
        seed: int,
        gaussians: int = GAUSSIANS,
        components: int = COMPONENTS,
    ):
        known = np.concatenate(descriptors)
        drawn = np.random.default_rng(seed).permutation(len(known))[:_FITTED_ON]
        self.pca = PCA(components, random_state=seed).fit(known[drawn])
        self.mixture = GaussianMixture(gaussians, covariance_type="diag", max_iter=50, random_state=seed)
        self.mixture.fit(self.pca.transform(known[drawn]))
        self.size = 2 * gaussians * components

    def __call__(self, descriptors: Descriptors) -> npt.NDArray[np.float32]:
        """(n, 128) to one vector of length 1, signed square roots taken; zeros for none."""
        if not len(descriptors):
            return np.zeros(self.size, np.float32)
        points, mixture = self.pca.transform(descriptors), self.mixture
        share = mixture.predict_proba(points)  # (n, K)
        means, variances, weights = mixture.means_, mixture.covariances_, mixture.weights_
        # Sums over the points of share, share * point and share * point^2 give both gradients.
        count, first, second = share.sum(axis=0), share.T @ points, share.T @ points**2
        by_mean = (first - count[:, None] * means) / np.sqrt(variances)
        by_variance = (second - 2 * means * first + count[:, None] * means**2) / variances - count[:, None]
        scale = len(points) * np.sqrt(weights)[:, None]
        gradient = np.concatenate([by_mean / scale, by_variance / (scale * np.sqrt(2))]).ravel()
        gradient = np.sign(gradient) * np.sqrt(np.abs(gradient))
        return (gradient / max(np.linalg.norm(gradient), 1e-12)).astype(np.float32)
