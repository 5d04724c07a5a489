package evidence

import (
	"context"
	"encoding/json"
	"fmt"

	"towpath.dev/towpath/internal/event"
)

func (f feed) imagePushed(ctx context.Context) error {
	p, ok := decode[event.ImagePushed](f.e)
	if !ok {
		return nil
	}
	if p.Tag != "" {
		if err := f.name(ctx, nameTag, p.Repository+":"+p.Tag, f.e.Subject); err != nil {
			return err
		}
	}
	if p.Run == 0 {
		return nil
	}
	ids, err := f.changesOf(ctx, event.OfRun(p.Run))
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := f.bind(ctx, f.e.Subject, id); err != nil {
			return err
		}
		for _, lock := range []string{LockScan, LockSign} {
			_, b, ok, err := f.get(ctx, id, lock, p.Digest)
			if err != nil {
				return err
			}
			// A second tag, or a second run with the same bytes: what is known stays, unless the
			// image was deleted meanwhile.
			if !ok || b.Gone {
				if b, err = f.knownOf(ctx, lock, p); err != nil {
					return err
				}
			}
			if err := f.put(ctx, id, lock, p.Digest, p.Run, b); err != nil {
				return err
			}
		}
	}
	return nil
}

// knownOf returns what is known of an image that is new to its change: other changes of
// the project may have brought the same bytes before, and they are scanned once.
func (f feed) knownOf(ctx context.Context, lock string, p event.ImagePushed) (body, error) {
	var text string
	err := f.tx.QueryRow(ctx, `SELECT body FROM path_part WHERE lock = ? AND part = ? AND project = ? ORDER BY seq DESC LIMIT 1`, lock, p.Digest, f.e.Project).Scan(&text)
	if missing(err) {
		return body{State: Passing, Name: p.Repository}, nil
	}
	var b body
	if err == nil {
		err = json.Unmarshal([]byte(text), &b)
	}
	if err != nil {
		return b, fmt.Errorf("looking for image %s: %w", p.Digest, err)
	}
	if b.Gone {
		return body{State: Passing, Name: p.Repository}, nil
	}
	return b, nil
}

func (f feed) imageDeleted(ctx context.Context) error {
	p, ok := decode[event.ImageDeleted](f.e)
	if !ok {
		return nil
	}
	query, args := `DELETE FROM evidence_name WHERE kind = ? AND project = ? AND seq < ?`, []any{nameTag, f.e.Project, f.e.Seq}
	if p.Tag != "" {
		query, args = query+` AND name = ?`, append(args, p.Repository+":"+p.Tag)
	} else {
		begin := p.Repository + ":"
		query, args = query+` AND subject = ? AND substr(name, 1, ?) = ?`, append(args, string(event.Of(event.KindImage, p.Digest)), len(begin), begin)
	}
	if _, err := f.tx.Exec(ctx, query, args...); err != nil {
		return fmt.Errorf("forgetting the tags of %s: %w", p.Repository, err)
	}
	if p.Tag != "" {
		return nil
	}
	// Signature and provenance are gone with the image: nobody can check them any more.
	return f.amend(ctx, LockSign, p.Digest, func(b *body) {
		if b.Name == p.Repository {
			*b = body{State: Shut, Name: p.Repository, Gone: true}
		}
	})
}

// name binds a name to its newest subject.
func (f feed) name(ctx context.Context, kind, name string, subject event.Subject) error {
	_, err := f.tx.Exec(ctx, `INSERT INTO evidence_name (project, kind, name, subject, seq) VALUES (?,?,?,?,?)
		ON CONFLICT (kind, name, project) DO UPDATE SET subject = excluded.subject, seq = excluded.seq WHERE excluded.seq >= evidence_name.seq`,
		f.e.Project, kind, name, string(subject), f.e.Seq)
	if err != nil {
		return fmt.Errorf("naming %s: %w", subject, err)
	}
	return nil
}

// amend changes the part of an image in each change that has it.
func (f feed) amend(ctx context.Context, lock, image string, change func(*body)) error {
	ids, err := f.changesOf(ctx, event.Of(event.KindImage, image))
	if err != nil {
		return err
	}
	for _, id := range ids {
		run, b, ok, err := f.get(ctx, id, lock, image)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		change(&b)
		if err := f.put(ctx, id, lock, image, run, b); err != nil {
			return err
		}
	}
	return nil
}

func (f feed) scanFinished(ctx context.Context) error {
	p, ok := decode[event.ScanFinished](f.e)
	if !ok {
		return nil
	}
	return f.amend(ctx, LockScan, p.Image, func(b *body) {
		*b = body{State: Open, Name: p.Repository, Critical: p.Critical, High: p.High, Medium: p.Medium, Packages: p.Packages, NoData: p.Status == "no advisory data"}
		switch {
		case p.Critical > 0:
			b.State = Shut
		case p.High > 0:
			b.State = Held // It goes on, and somebody has to weigh them.
		}
	})
}

func (f feed) imageSigned(ctx context.Context) error {
	p, ok := decode[event.ImageSigned](f.e)
	if !ok {
		return nil
	}
	return f.amend(ctx, LockSign, p.Image, func(b *body) { b.State, b.Signed = Open, true })
}

func (f feed) provenanceCreated(ctx context.Context) error {
	p, ok := decode[event.ProvenanceCreated](f.e)
	if !ok {
		return nil
	}
	return f.amend(ctx, LockSign, p.Image, func(b *body) { b.Provenance = true })
}
