package agent

import "context"

// runReviewApp is the step reviewApp: the server knows whether the run is one of a pull request,
// and makes the review app.
func runReviewApp(ctx context.Context, s *stepRun) error { return s.remote(ctx, nil, nil) }
