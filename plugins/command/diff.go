package main

import (
	"context"
	"strings"

	provider "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi/sdk/v3/go/property"
)

type differ = func(context.Context, provider.DiffRequest) (provider.DiffResponse, error)

// compareValues makes a diff look at what is said, not at how secret it is: a value that became
// secret is not a change. And it makes a change of triggers a replacement.
func compareValues(diff differ) differ {
	return func(ctx context.Context, request provider.DiffRequest) (provider.DiffResponse, error) {
		request.State = plainMap(request.State)
		request.Inputs = plainMap(request.Inputs)
		request.OldInputs = plainMap(request.OldInputs)
		response, err := diff(ctx, request)
		for path, change := range response.DetailedDiff {
			if path == "triggers" || strings.HasPrefix(path, "triggers[") {
				change.Kind = asReplace(change.Kind)
				response.DetailedDiff[path] = change
			}
		}
		return response, err
	}
}

func asReplace(kind provider.DiffKind) provider.DiffKind {
	switch kind {
	case provider.Add:
		return provider.AddReplace
	case provider.Delete:
		return provider.DeleteReplace
	case provider.Update:
		return provider.UpdateReplace
	}
	return kind
}

func plainMap(values property.Map) property.Map {
	result := make(map[string]property.Value, values.Len())
	for key, value := range values.All {
		result[key] = plain(value)
	}
	return property.NewMap(result)
}

func plain(value property.Value) property.Value {
	switch {
	case value.IsMap():
		return property.New(plainMap(value.AsMap()))
	case value.IsArray():
		items := make([]property.Value, 0, value.AsArray().Len())
		for _, item := range value.AsArray().All {
			items = append(items, plain(item))
		}
		return property.New(property.NewArray(items))
	}
	return value.WithSecret(false).WithDependencies(nil)
}
