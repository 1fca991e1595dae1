"""Faster R-CNN and what it is made of: anchors, targets, RoIAlign, proposals, non-maximum suppression."""

from jaxret.models.detection.boxes import anchor_boxes, box_offsets, clip_boxes, moved_boxes, overlap_table
from jaxret.models.detection.faster_rcnn import FasterRCNN
from jaxret.models.detection.head import Detections, RegionHead, best_detections
from jaxret.models.detection.nms import suppress_overlaps
from jaxret.models.detection.proposals import Proposals, RegionProposalNetwork, best_proposals
from jaxret.models.detection.published import read_detector
from jaxret.models.detection.pyramid_rcnn import PyramidRCNN
from jaxret.models.detection.region_detector import RegionDetector
from jaxret.models.detection.roi_align import roi_align
from jaxret.models.detection.settings import DetectorSettings

__all__ = [
    "Detections",
    "DetectorSettings",
    "FasterRCNN",
    "Proposals",
    "PyramidRCNN",
    "RegionDetector",
    "RegionHead",
    "RegionProposalNetwork",
    "anchor_boxes",
    "best_detections",
    "best_proposals",
    "box_offsets",
    "clip_boxes",
    "moved_boxes",
    "overlap_table",
    "read_detector",
    "roi_align",
    "suppress_overlaps",
]
