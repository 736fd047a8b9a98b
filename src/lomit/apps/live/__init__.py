"""The page of `lomit live`: a camera, or a video file, translated frame by frame on this machine."""
