<?php

declare(strict_types=1);

namespace Nivisco\Payments\Result;

/** The user. Generated: do not edit. */
final class ValidateUserUser
{
    /** The id of the user. */
    public string $user_id;
    /** Whether the user is active. */
    public bool $active;

    /**
     * @internal
     *
     * @param array<string, mixed> $answer
     */
    public static function read(array $answer): self
    {
        $result = new self();
        $result->user_id = $answer['user_id'];
        $result->active = $answer['active'];

        return $result;
    }
}
