"""ConvLSTM autoencoders of RGB and RGB-D clips (system 2)."""

from jaxret.models.conv_lstm.autoencoder import AUTOENCODERS, ConvLstmAutoencoder, Reconstruction, create_autoencoder
from jaxret.models.conv_lstm.cell import BidirectionalConvLSTM, ConvLSTM
from jaxret.models.conv_lstm.decoder import ConvLstmDecoder
from jaxret.models.conv_lstm.encoder import ConvLstmEncoder

__all__ = [
    "AUTOENCODERS",
    "BidirectionalConvLSTM",
    "ConvLSTM",
    "ConvLstmAutoencoder",
    "ConvLstmDecoder",
    "ConvLstmEncoder",
    "Reconstruction",
    "create_autoencoder",
]
