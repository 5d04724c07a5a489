package api

import (
	"context"
	"fmt"
	"io"
	"net/url"

	"github.com/danielgtaylor/huma/v2"
)

// runAttachment sends the content of an attachment. It is foreign: a browser saves it and
// shows none of it.
func (a *server) runAttachment(ctx context.Context, in *struct {
	InRun
	Attachment string `path:"attachment" maxLength:"64" doc:"id of the attachment"`
}) (*huma.StreamResponse, error) {
	attachment, r, err := a.Pipeline.OpenAttachment(ctx, actor(ctx), in.Run, in.Attachment)
	if err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(h huma.Context) {
		defer r.Close()
		h.SetHeader("Content-Type", "application/octet-stream")
		h.SetHeader("X-Content-Type-Options", "nosniff")
		h.SetHeader("Content-Disposition", fmt.Sprintf("attachment; filename*=UTF-8''%s", url.PathEscape(attachment.Name)))
		_, _ = io.Copy(h.BodyWriter(), r) // The client is gone when this fails.
	}}, nil
}
