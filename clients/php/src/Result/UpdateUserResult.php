<?php

declare(strict_types=1);

namespace Nivisco\Payments\Result;

/** What `update_user` answers. Generated: do not edit. */
final class UpdateUserResult
{
    /** A sentence for a person. */
    public string $message;
    /** @var list<string> The names of the fields that were given. */
    public array $updated_fields;

    /**
     * @internal
     *
     * @param array<string, mixed> $answer
     */
    public static function read(array $answer): self
    {
        $result = new self();
        $result->message = $answer['message'];
        $result->updated_fields = $answer['updated_fields'] ?? [];

        return $result;
    }
}
