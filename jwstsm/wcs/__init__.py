"""World coordinates: from the pixels of a detector to the sky and back.

``model`` holds the chain of frames, ``transforms`` and ``sphere`` its links, ``asdftext`` and ``codec`` their form on
disk. ``modes`` says which builder makes the coordinates of an exposure type, ``imaging`` is the one of images.
``sky``, ``pixmap``, ``footprint``, ``sip``, ``keywords`` and ``mosaic`` use them; ``correction`` changes them.
"""
