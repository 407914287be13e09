"""Every view can be sent as a link: one file a page.

A link holds what differs from the defaults. What a link asks for is checked like any other input: what does not fit is
left out, with a sentence.
"""
