package local

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/gobwas/glob"
	"github.com/pulumi/pulumi-go-provider/infer/types"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
)

// collect reads the files that a command was told to leave.
func (how How) collect(after *Outcome) error {
	folder := "."
	if how.Dir != nil {
		folder = *how.Dir
	}
	folder, err := filepath.Abs(folder)
	if err != nil {
		return err
	}
	if how.AssetPaths != nil {
		assets, err := matching(folder, *how.AssetPaths)
		if err != nil {
			return err
		}
		named := make(map[string]types.AssetOrArchive, len(assets))
		for path, asset := range assets {
			named[path] = types.AssetOrArchive{Asset: asset}
		}
		after.Assets = &named
	}
	if how.ArchivePaths != nil {
		assets, err := matching(folder, *how.ArchivePaths)
		if err != nil {
			return err
		}
		members := make(map[string]any, len(assets))
		for path, asset := range assets {
			members[path] = asset
		}
		after.Archive, err = resource.NewAssetArchive(members)
		return err
	}
	return nil
}

// matching are the files in a folder that the rules choose, by their path in it. The last
// rule that speaks of a file decides; one that begins with ! leaves it out.
func matching(folder string, rules []string) (map[string]*resource.Asset, error) {
	type rule struct {
		pattern glob.Glob
		exclude bool
	}
	parsed := make([]rule, 0, len(rules))
	for _, text := range rules {
		pattern, exclude := strings.CutPrefix(text, "!")
		compiled, err := glob.Compile(pattern, '/')
		if err != nil {
			return nil, err
		}
		parsed = append(parsed, rule{compiled, exclude})
	}
	result := map[string]*resource.Asset{}
	err := fs.WalkDir(os.DirFS(folder), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		chosen := false
		for _, rule := range parsed {
			if rule.pattern.Match(path) {
				chosen = !rule.exclude
			}
		}
		if !chosen {
			return nil
		}
		result[path], err = resource.NewPathAsset(filepath.Join(folder, path))
		return err
	})
	return result, err
}
