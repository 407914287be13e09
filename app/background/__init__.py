"""Work beside the page: worker threads, queues and jobs."""
