package app

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/event"
)

// needs says which runs releases rest on: those that deployed what runs, and those that made
// its images.
type needs struct{ app *App }

// Needed returns why runs must stay.
func (n needs) Needed(ctx context.Context) (map[int64]string, error) {
	list, err := n.app.Deploy.Live(ctx)
	if err != nil {
		return nil, err
	}
	out := map[int64]string{}
	for _, r := range list {
		why := fmt.Sprintf("release %s/%s/%d", r.Project, r.Environment, r.Number)
		if r.Run > 0 {
			out[r.Run] = why
		}
		for _, image := range r.Images {
			edges, err := n.app.Log.Out(ctx, event.Of(event.KindImage, image[strings.LastIndexByte(image, '@')+1:]), event.RelProducedBy, 10)
			if err != nil {
				return nil, err
			}
			for _, e := range edges {
				if run, err := strconv.ParseInt(e.To.ID(), 10, 64); err == nil {
					out[run] = why
				}
			}
		}
	}
	return out, nil
}
