<?php

declare(strict_types=1);

namespace Nivisco\Payments\Result;

/** The new user. Generated: do not edit. */
final class CreateUserUser
{
    /** The id of the user. */
    public string $user_id;

    /**
     * @internal
     *
     * @param array<string, mixed> $answer
     */
    public static function read(array $answer): self
    {
        $result = new self();
        $result->user_id = $answer['user_id'];

        return $result;
    }
}
