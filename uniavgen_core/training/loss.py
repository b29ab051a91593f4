"""What training minimises: velocity errors where there is noise, and the error of the face masks.

Source: rectified flow (Liu et al., arXiv:2209.03003); face-mask loss of UniAVGen (arXiv:2511.03334), section 3.3.
Dimension key: B batch, M interaction modules, T latent frames, N tokens per latent.
"""

from torch import Tensor


def velocity_errors(predicted: Tensor, velocity: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean squared error of each example's velocity, so that a batch in parts has the batch's loss.

    Args:
        predicted: The network's output, (B, ...).
        velocity: ``noise - clean``, same shape.
        weight: Weight of each place, 0 where the clean value is kept; broadcasts to that shape.

    Returns:
        Errors, (B,); 0 where every place is kept.
    """
    weight = weight.expand_as(predicted).flatten(1)
    error = weight * (predicted - velocity).flatten(1) ** 2
    return error.sum(1) / weight.sum(1).clamp_min(1e-8)


def velocity_loss(predicted: Tensor, velocity: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean squared error of the velocity, of all examples together.

    Args:
        predicted: The network's output, any shape.
        velocity: ``noise - clean``, same shape.
        weight: Weight of each place, 0 where the clean value is kept; broadcasts to that shape.

    Returns:
        Scalar; 0 when every place is kept.
    """
    weight = weight.expand_as(predicted)
    return (weight * (predicted - velocity) ** 2).sum() / weight.sum().clamp_min(1e-8)


def face_mask_loss(predicted: Tensor, face: Tensor) -> Tensor:
    """Mean over layers of the squared error of the predicted face masks.

    Args:
        predicted: Masks of all interaction modules, (B, M, T, N) in [0, 1].
        face: The true share of face in each token, (B, T, N) in [0, 1].

    Returns:
        Scalar.
    """
    return ((predicted - face[:, None]) ** 2).mean()
