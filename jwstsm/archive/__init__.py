"""The archive (MAST): listing and downloading the uncal files of a proposal."""
