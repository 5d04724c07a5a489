package pipeline

import "context"

// Decide is what claim asks before it writes anything: the id of the job that an agent of the
// server would get now, "" for none. The job stays in the queue.
func (s *Service) Decide(ctx context.Context, agent string) (string, error) {
	at, err := s.choose(ctx, caller{}, agent, "a ticket")
	if at.taken {
		s.backlog.PutBack(at.id)
	}
	return at.id, err
}
