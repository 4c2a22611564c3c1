"""DICOM: files, folders, series of slices, pictures, and names that tell nobody."""
