"""What the torch adapter is made of; all but `request` import torch."""
