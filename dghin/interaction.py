"""Word-visual attention: every patch gathers the words that concern it."""

import torch.nn.functional as F
from torch import Tensor, nn


class WordVisualAttention(nn.Module):
    """Words (B, L, D) and patches (B, D, h, w) → patches (B, D, h, w).

    a = softmax_words(IN(Wq v) · Wk w), over all L positions, scale 1;
    e = ReLU(IN(We Σ a Wv w));  out = PReLU(BN(Wo (ReLU(Wp v) ⊙ e))).
    Used at the entity level and, after both graphs, at the graph level.
    """

    def __init__(self, width: int):
        super().__init__()
        self.query = nn.Conv2d(width, width, 1)
        self.query_norm = nn.InstanceNorm2d(width, affine=True)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.attended = nn.Conv2d(width, width, 1)
        self.attended_norm = nn.InstanceNorm2d(width, affine=True)
        self.visual = nn.Conv2d(width, width, 1)
        self.out = nn.Sequential(nn.Conv2d(width, width, 1), nn.BatchNorm2d(width), nn.PReLU())

    def attention(self, words: Tensor, visual: Tensor) -> Tensor:
        """The share of every word in every patch: (B, N, L), rows sum to 1."""
        query = self.query_norm(self.query(visual)).flatten(2).transpose(1, 2)  # (B, N, D)
        return (query @ self.key(words).transpose(1, 2)).softmax(dim=-1)

    def forward(self, words: Tensor, visual: Tensor) -> Tensor:
        gathered = self.attention(words, visual) @ self.value(words)  # (B, N, D)
        gathered = gathered.transpose(1, 2).view_as(visual)  # (B, D, h, w)
        gathered = F.relu(self.attended_norm(self.attended(gathered)))
        return self.out(F.relu(self.visual(visual)) * gathered)
