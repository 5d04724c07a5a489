package tunnel
import ("testing";"os";"bytes";"io";"time";"fmt";"github.com/klauspost/compress/zstd")
type cnt struct{n int}
func (c *cnt) Write(p []byte)(int,error){c.n+=len(p);return len(p),nil}
func TestZZ(t *testing.T){
 a,_:=os.ReadFile("/tmp/r-scratch/a"); b,_:=os.ReadFile("/tmp/r-scratch/b")
 for _,l:=range []zstd.EncoderLevel{zstd.SpeedFastest,zstd.SpeedDefault,zstd.SpeedBetterCompression}{
  for _,d:=range [][]byte{nil,a}{
   c:=&cnt{}; s:=time.Now()
   o:=[]zstd.EOption{zstd.WithEncoderLevel(l),zstd.WithEncoderConcurrency(1)}
   if d!=nil {o=append(o,zstd.WithWindowSize(32<<20),zstd.WithEncoderDictRaw(1,d))}
   z,err:=zstd.NewWriter(c,o...); if err!=nil{t.Fatal(err)}
   io.Copy(z,bytes.NewReader(b)); z.Close()
   fmt.Println(l,d!=nil,len(b),c.n,time.Since(s))
  }}
}
